"""Publish: a split's judged candidates as documents, in a new version of `<prefix>-<c>-negatives`.

`plan` reserves a version and writes down what it is made from; every chunk sees that nothing of it has
changed, so that no version mixes two answers; `finish` counts, swaps the alias and removes what is old.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from services.collections.collection import Collection, Ords
from services.elastic import bulk, names
from services.elastic.settle import settle
from services.elastic.versions import now
from services.errors import CheckFailed, Conflict, NotFound
from services.jobs.kind import Chunk, Context, DeadRow, Estimate, Kind, Queue, Receipt, Spec
from services.negatives.marks_store import MarksStore
from services.negatives.opening import Asked, Opened, open_negatives
from services.negatives.sampling import Strategy
from services.publishing import versions
from services.publishing.documents import Publisher
from services.publishing.publication import Extent, Publication, publication_of
from services.publishing.versions import Version

CHUNK_CANDIDATES = 50_000
"""A chunk's candidates, about: half a minute of one sender."""
_LONGEST = 2048
_DOCUMENT = 250
"""Bytes of a document on disk, about, without the passage's text."""


class PublishSpec(Spec):
    """What to publish: `Asked` and `Extent`, as JSON."""

    kind: Literal["publish"] = "publish"
    split: str
    systems: tuple[str, ...]
    depth: int | None = None
    ce: str | None = None
    filters: tuple[str, ...] = ()
    relabel: str | None = None
    sample: Strategy | None = None
    num: int | None = None
    seed: int = 0
    marks: bool = True
    queries: int | None = Field(None, ge=1)
    everything: bool = False
    texts: bool | None = None

    @property
    def title(self) -> str:
        """Such as `publish negatives squad/train`."""
        return f"publish negatives {self.collection}/{self.split}"

    @property
    def extent(self) -> Extent:
        """How much, as asked."""
        return Extent(self.queries, self.everything, self.texts, self.seed)


class PublishKind(Kind[PublishSpec]):
    """A chunk is a range of positions in the ascending list of the published queries."""

    name = "publish"
    queue: ClassVar[Queue] = "cpu"
    spec_type = PublishSpec
    # The last chunk waits for the server's merge, as in the kind `index`.
    soft_limit = 6 * 3600.0
    hard_limit = 6 * 3600.0 + 60

    def mends_dead_rows(self, spec: PublishSpec) -> str:
        """A new version: this one is closed to writers."""
        return f"msmctl publish negatives --collection {spec.collection} --split {spec.split} --force"

    def fresh(self, context: Context, spec: PublishSpec) -> str | None:
        """The served version, if it was made from the same inputs."""
        served = versions.served(context.elastic(), context.settings, spec.collection)
        if served is None or served.meta.state != "complete":
            return None
        asked = _publication(context, spec, _opened(context, spec))
        return served.index if served.meta.inputs == asked.inputs else None

    def plan(self, context: Context, spec: PublishSpec) -> list[Chunk]:
        """Reserve the version, then cut the queries."""
        opened = _opened(context, spec)
        made = versions.allocate(context.elastic(), context.settings, _publication(context, spec, opened))
        meta = made.meta
        context.log(f"building {made.index}: {meta.queries:,} of {meta.of_queries:,} queries")
        if not meta.texts:
            context.log("the passages' texts are not stored again (--text stores them)")
        size = _chunk_size(opened)
        return [
            Chunk(n=n, lo=lo, hi=min(lo + size, meta.queries))
            for n, lo in enumerate(range(0, meta.queries, size))
        ]

    def run_chunk(self, context: Context, spec: PublishSpec, chunk: Chunk) -> Receipt:
        """Send the candidates of a range of queries."""
        opened, made = _opened(context, spec), _made(context, spec)
        if _publication(context, spec, opened).inputs != made.meta.inputs:
            raise Conflict(
                f"{made.index}: runs, scores, marks or the collection have changed since this was begun",
                hint="publish again: the same command starts a new version",
            )
        qords = _qords(spec, opened)[chunk.lo : chunk.hi]
        documents = Publisher(opened, made.meta).documents(qords)
        loaded = bulk.load(context.elastic(), made.index, [documents])
        context.checkpoint(len(qords))
        return Receipt(
            rows=len(qords),
            facts={"documents": loaded.rows},
            dead=[DeadRow(row=row.id, reason=row.reason) for row in loaded.refused],
        )

    def finish(self, context: Context, spec: PublishSpec, receipts: Sequence[Receipt]) -> dict[str, Any]:
        """Close, count, swap, remove what is old."""
        client, made = context.elastic(), _made(context, spec)
        context.log(f"merging {made.index}")
        settle(client, made.index, context.checkpoint)
        documents = sum(int(receipt.facts["documents"]) for receipt in receipts)
        there = int(versions.summary(client, made)["documents"])
        if there != documents:
            raise CheckFailed(
                f"{made.index}: {there:,} documents instead of {documents:,}",
                hint=self.mends_dead_rows(spec),
            )
        dead = sum(len(receipt.dead) for receipt in receipts)
        made = versions.mark(client, made, state="complete", completed=now(), documents=documents, dead=dead)
        serves = _serve(context, made)
        return {
            "alias": names.negatives_alias(context.settings, spec.collection),
            "index": made.index,
            "version": made.n,
            "served": serves,
            "queries": made.meta.queries,
            "of_queries": made.meta.of_queries,
            "documents": documents,
            "texts": made.meta.texts,
            "removed": versions.prune(client, context.settings, spec.collection, context.job_ended),
        }

    def estimate(self, context: Context, spec: PublishSpec) -> Estimate:
        """Queries, and bytes of at most so many documents as there are candidates."""
        opened = _opened(context, spec)
        meta = _publication(context, spec, opened)
        candidates = _candidates(opened) * meta.queries // max(meta.of_queries, 1)
        state = opened.candidates.collection.state
        text = sum(part.bytes for part in state.passages) // max(state.passage_count, 1)
        per_document = _DOCUMENT + (text if meta.texts else 0)
        return Estimate(
            chunks=-(-meta.queries // _chunk_size(opened)), rows=meta.queries, bytes=candidates * per_document
        )


def _opened(context: Context, spec: PublishSpec) -> Opened:
    collection = Collection.open(context.store, spec.collection, spec.collection_version)
    marks = MarksStore(context.elastic(), context.settings).of(collection) if spec.marks else None
    asked = Asked(
        split=spec.split, systems=spec.systems, depth=spec.depth, ce=spec.ce, filters=spec.filters,
        relabel=spec.relabel, sample=spec.sample, num=spec.num, seed=spec.seed, marks=marks,
    )  # fmt: skip
    return open_negatives(collection, asked, judge="present")


def _publication(context: Context, spec: PublishSpec, opened: Opened) -> Publication:
    return publication_of(opened, _extent(spec, opened), job=_owner(context, spec), created=now())


def _extent(spec: PublishSpec, opened: Opened) -> Extent:
    return spec.extent.settled(len(opened.candidates.qords), _candidates(opened))


def _qords(spec: PublishSpec, opened: Opened) -> Ords:
    return _extent(spec, opened).choose(opened.candidates.qords)


def _candidates(opened: Opened) -> int:
    """Of all systems together: a passage that two of them return counts twice."""
    return sum(one.run.manifest.candidates for one in opened.runs)


def _chunk_size(opened: Opened) -> int:
    per_query = max(1, _candidates(opened) // len(opened.candidates.qords))
    return min(max(1, CHUNK_CANDIDATES // per_query), _LONGEST)


def _owner(context: Context, spec: PublishSpec) -> str:
    return context.job_id or spec.hash


def _made(context: Context, spec: PublishSpec) -> Version:
    found = versions.of_job(context.elastic(), context.settings, spec.collection, _owner(context, spec))
    if found is None:
        raise NotFound(
            f"the version that this job publishes of '{spec.collection}' was removed",
            hint="publish again: the same command starts a new version",
        )
    return found


def _serve(context: Context, made: Version) -> bool:
    """Swap, unless something later is served already."""
    context.checkpoint(0)
    client, settings = context.elastic(), context.settings
    served = versions.served(client, settings, made.meta.collection)
    if served and (served.meta.collection_version, served.n) > (made.meta.collection_version, made.n):
        context.log(f"{made.index} is not served: {served.index} is of a later state or begun later")
        return False
    versions.serve(client, settings, made)
    context.log(f"{names.negatives_alias(settings, made.meta.collection)} now reads {made.index}")
    return True
