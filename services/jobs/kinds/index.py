"""The kind `index`: a new version of a collection's hybrid index, from the store alone (no model, no GPU).

`plan` reserves a version number, chunks load ranges of passages and queries, `finish` merges, runs the
gate, and swaps the aliases. The version belongs to its job: whatever runs twice finds it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.metadata import version as software_version
from typing import Any, Literal

from services.collections.collection import Collection
from services.elastic import bulk, documents, gate, names, versions
from services.elastic.mapping import ServedSystem, VectorIndex, passages_body, queries_body
from services.elastic.provenance import Provenance, text_fingerprint
from services.elastic.rehearsal import Cost, rehearse
from services.elastic.settle import settle
from services.elastic.versions import Version
from services.encoding.shards import VectorFolder
from services.encoding.stand_in import stand_ins
from services.encoding.vectors import TermWeights, Vectors, open_rows
from services.errors import NotFound
from services.jobs.index_gate import judge, vectors_of
from services.jobs.kind import Chunk, Context, DeadRow, Estimate, Kind, Receipt, Spec
from services.jobs.kinds.encode import EncodeSpec
from services.meter import PeakMemory
from services.store.fingerprint import short
from services.systems.models import required
from services.systems.registry import Registry
from services.systems.system import System

CHUNK_ROWS = 8_192


class IndexSpec(Spec):
    """Build an index version.

    Attributes:
        systems: Names of the dense and sparse systems that it must serve; none: BM25 is enough.
        vector_index: How Elasticsearch holds vectors.
    """

    kind: Literal["index"] = "index"
    systems: tuple[str, ...] = ()
    vector_index: VectorIndex = "hnsw"

    @property
    def title(self) -> str:
        """Such as `index squad all-MiniLM-L6-v2`."""
        return " ".join(("index", self.collection, *(self.systems or ("text",))))

    def covers(self, needed: Spec) -> bool:
        """An index with vectors has the texts too."""
        if not isinstance(needed, IndexSpec) or needed.collection_version != self.collection_version:
            return False
        same = needed.collection == self.collection and set(needed.systems) <= set(self.systems)
        return same and (not needed.systems or needed.vector_index == self.vector_index)

    @classmethod
    def of(
        cls, collection: Collection, systems: Sequence[str], vector_index: VectorIndex = "hnsw"
    ) -> IndexSpec:
        """The spec for some systems, named in any spelling, on a collection's present state.

        Raises:
            NotFound: no such system. UsageError: a system that cannot be served.
        """
        registry = Registry.load(collection.store)
        return cls(
            collection=collection.name,
            collection_version=collection.state.version,
            systems=tuple(one.name for one in map(registry.retrieving, systems) if one.encodes),
            vector_index=vector_index,
        )


class IndexKind(Kind[IndexSpec]):
    """See the module."""

    name = "index"
    queue = "cpu"
    spec_type = IndexSpec
    # The last chunk waits for the server's merge, which takes hours on millions of vectors; a worker that
    # dies meanwhile is noticed by its lease, long before this limit.
    soft_limit = 6 * 3600.0
    hard_limit = 6 * 3600.0 + 60

    def mends_dead_rows(self, spec: IndexSpec) -> str:
        """A new version: this one is closed to writers, and its mapping would refuse the rows again."""
        options = "".join(f" --system {name}" for name in spec.systems)
        options += f" --vector-index {spec.vector_index}" if spec.systems else ""
        return f"msmctl index build --collection {spec.collection}{options} --force"

    def fresh(self, context: Context, spec: IndexSpec) -> str | None:
        """The served version, if it holds this state and what is asked; for text alone any complete one."""
        client, collection = context.elastic(), _collection(context, spec)
        asked = encoding(context, spec.systems)
        if not asked:
            return versions.fresh_text_index(client, context.settings, collection)
        now = versions.served(client, context.settings, spec.collection)
        vectors = {system.slug: open_rows(collection, system) for system in asked}
        if now is None or not _holds(now.meta, collection) or now.meta.vector_index != spec.vector_index:
            return None
        held = {slug: system.fingerprint for slug, system in now.meta.systems.items()}
        same = all(
            found is not None and held.get(slug) == found.fingerprint for slug, found in vectors.items()
        )
        return now.passages if same else None

    def requires(self, context: Context, spec: IndexSpec) -> list[Spec]:
        """Vectors of the asked systems."""
        return [
            EncodeSpec(
                kind="encode",
                collection=spec.collection,
                collection_version=spec.collection_version,
                system=system.name,
            )
            for system in encoding(context, spec.systems)
        ]

    def plan(self, context: Context, spec: IndexSpec) -> list[Chunk]:
        """Reserve the version, then cut: ords first, queries behind them as `passage_count + qord`."""
        collection = _collection(context, spec)
        made = versions.allocate(
            context.elastic(), context.settings, self._provenance(context, spec, collection)
        )
        context.log(f"building {made.passages} with {', '.join(made.meta.systems) or 'text only'}")
        return _chunks(collection)

    def run_chunk(self, context: Context, spec: IndexSpec, chunk: Chunk) -> Receipt:
        """Load one range with several senders."""
        client, collection = context.elastic(), _collection(context, spec)
        made = _made(context, spec)
        vectors = vectors_of(context, collection, made.meta.systems.values())
        offset = collection.passage_count
        stream: Callable[..., Iterable[bulk.Document]]
        if chunk.hi <= offset:
            stream, index, shift = documents.passages, made.passages, 0
        else:
            stream, index, shift = documents.queries, made.queries, offset
        lo, hi = chunk.lo - shift, chunk.hi - shift
        step = -(-(hi - lo) // context.settings.senders) or 1
        loaded = bulk.load(
            client, index, [stream(collection, vectors, at, min(at + step, hi)) for at in range(lo, hi, step)]
        )
        context.checkpoint(hi - lo)
        return Receipt(
            rows=loaded.rows, dead=[DeadRow(row=row.id, reason=row.reason) for row in loaded.refused]
        )

    def finish(self, context: Context, spec: IndexSpec, receipts: Sequence[Receipt]) -> dict[str, Any]:
        """Merge, gate, swap, remove what is old. A version that fails stays for inspection, unserved."""
        client, collection, made = context.elastic(), _collection(context, spec), _made(context, spec)
        for index in (made.passages, made.queries):
            context.log(f"merging {index}")
            settle(client, index, context.checkpoint)
        made = versions.mark(client, made, dead=sum(len(receipt.dead) for receipt in receipts))
        made, checks = judge(context, collection, made)
        swapped = self._serve(context, spec, made)
        removed = versions.prune(client, context.settings, spec.collection, context.job_ended)
        return {
            "passages_index": made.passages,
            "queries_index": made.queries,
            "version": made.n,
            "served": swapped,
            "systems": list(made.meta.systems),
            "gate": gate.summary(checks),
            "removed": removed,
        }

    def estimate(self, context: Context, spec: IndexSpec) -> Estimate:
        """Rows, and bytes of the texts and of all systems' vectors, made or not."""
        collection = _collection(context, spec)
        rows = collection.state.live_passages + collection.state.live_queries
        folders = [
            VectorFolder(context.store, collection.name, system, required(context.store, system))
            for system in encoding(context, spec.systems)
        ]
        # Texts weigh about what their parts do; a float32 takes 16/3 bytes in base64, a weight and its
        # token id about three times what they take in a part.
        size = sum(part.bytes for part in [*collection.state.passages, *collection.state.queries])
        for folder in folders:
            if folder.system.is_dense:
                size += rows * folder.row_bytes("passages") * 4 // 3
            else:
                size += collection.state.live_passages * folder.row_bytes("passages") * 3
        return _counted(collection).model_copy(update={"elastic_bytes": size})

    def measure(self, context: Context, spec: IndexSpec) -> Estimate:
        """Seconds and bytes by building small indices of some of the rows; the gate is left out."""
        peak = PeakMemory()
        client, settings, collection = context.elastic(), context.settings, _collection(context, spec)
        now = versions.served(client, settings, spec.collection)
        asked, kept = _asked_and_kept(context, spec, now)
        vectors: dict[str, Vectors | TermWeights] = {}
        systems = []
        for system in [*asked, *kept]:
            found = open_rows(collection, system)
            if found is None and system in kept:
                continue
            vectors[system.slug] = found or stand_ins(collection, system)
            systems.append(served_system(system, vectors[system.slug]))
        bodies = (
            passages_body(collection.state.fields, systems, _vector_index(spec, asked, now)),
            queries_body(systems),
        )
        streams = (
            partial(documents.passages, collection, vectors),
            partial(documents.queries, collection, vectors),
        )
        counts = (collection.passage_count, collection.state.query_count)
        name = settings.index(spec.collection, "measure", short(spec.hash))
        cost = Cost(0.0, 0.0)
        for body, stream, rows in zip(bodies, streams, counts, strict=True):
            context.checkpoint(0)
            cost += rehearse(client, name, body, stream, rows, settings.senders)
        return _counted(collection).model_copy(
            update={
                "elastic_bytes": round(cost.bytes),
                "seconds": cost.seconds,
                "device": "elasticsearch",
                "memory": peak.bytes,
            }
        )

    def _provenance(self, context: Context, spec: IndexSpec, collection: Collection) -> Provenance:
        """What the version is made from: the asked systems, and the served ones whose vectors are at hand."""
        now = versions.served(context.elastic(), context.settings, spec.collection)
        asked, kept = _asked_and_kept(context, spec, now)
        systems = {}
        for system in [*asked, *kept]:
            vectors = open_rows(collection, system)
            if vectors is not None:
                systems[system.slug] = served_system(system, vectors)
            elif system in asked:
                raise NotFound(
                    f"collection '{collection.name}' has no vectors of '{system.name}'",
                    hint=f"`msmctl encode --collection {collection.name} --system {system.name}`",
                )
            else:
                context.log(f"'{system.name}' will not be served: its vectors are older than the collection")
        state = collection.state
        return Provenance(
            collection=collection.name,
            collection_version=state.version,
            passages_fingerprint=state.passages_fingerprint,
            queries_fingerprint=state.queries_fingerprint,
            text_fingerprint=text_fingerprint(),
            fields=state.fields,
            systems=systems,
            vector_index=_vector_index(spec, asked, now),
            software_version=software_version("msmctl"),
            job=_owner(context, spec),
            created=versions.now(),
        )

    def _serve(self, context: Context, spec: IndexSpec, made: Version) -> bool:
        """Swap, unless a build of text alone (mining asks for it) would take a served system from readers.

        Nor does a build of an earlier state, or one that a later build has overtaken, take over.
        """
        context.checkpoint(0)
        now = versions.served(context.elastic(), context.settings, spec.collection)
        if now and (now.meta.collection_version, now.n) > (made.meta.collection_version, made.n):
            context.log(f"{made.passages} is not served: {now.passages} is of a later state or build")
            return False
        lost = set(now.meta.systems) - set(made.meta.systems) if now else set()
        if lost and not spec.systems:
            context.log(
                f"{made.passages} is not served: it lacks {', '.join(sorted(lost))}; `msmctl index build` "
                "with these systems serves the new passages"
            )
            return False
        versions.swap(context.elastic(), context.settings, made)
        context.log(f"{names.passages_alias(context.settings, spec.collection)} now reads {made.passages}")
        return True


def encoding(context: Context, systems: Iterable[str], *, known_only: bool = False) -> list[System]:
    """The systems with an encoder among some names, once each, in order.

    Raises:
        NotFound: a name that no system has, unless `known_only` asks to leave it out.
    """
    registry = Registry.load(context.store)
    found: dict[str, System] = {}
    for name in systems:
        try:
            system = registry.get(name)
        except NotFound:
            if known_only:
                continue
            raise
        if system.encodes:
            found[system.name] = system
    return list(found.values())


def served_system(system: System, vectors: Vectors | TermWeights) -> ServedSystem:
    """What a version says about a system that it holds."""
    return ServedSystem(
        name=system.name,
        slug=system.slug,
        dims=vectors.dim,
        similarity=vectors.similarity,
        fingerprint=vectors.fingerprint,
        model=vectors.model_fingerprint,
        kind=vectors.kind,
    )


def _asked_and_kept(
    context: Context, spec: IndexSpec, now: Version | None
) -> tuple[list[System], list[System]]:
    """The systems that are asked for, and the others that are served now."""
    asked = encoding(context, spec.systems)
    served = [system.name for system in now.meta.systems.values()] if now else []
    return asked, [one for one in encoding(context, served, known_only=True) if one not in asked]


def _vector_index(spec: IndexSpec, asked: Sequence[System], now: Version | None) -> VectorIndex:
    """As asked; text alone leaves the choice of the served version standing."""
    return now.meta.vector_index if now and not asked else spec.vector_index


def _counted(collection: Collection) -> Estimate:
    state = collection.state
    return Estimate(
        chunks=len(_chunks(collection)),
        rows=state.live_passages + state.live_queries,
        passages=state.live_passages,
        queries=state.live_queries,
    )


def _collection(context: Context, spec: IndexSpec) -> Collection:
    return Collection.open(context.store, spec.collection, spec.collection_version)


def _owner(context: Context, spec: IndexSpec) -> str:
    return context.job_id or spec.hash


def _made(context: Context, spec: IndexSpec) -> Version:
    found = versions.of_job(context.elastic(), context.settings, spec.collection, _owner(context, spec))
    if found is None:
        raise NotFound(
            f"the index version that this job builds for '{spec.collection}' was removed",
            hint=f"`msmctl index build --collection {spec.collection} --force` starts anew",
        )
    return found


def _holds(meta: Provenance, collection: Collection) -> bool:
    return (
        meta.state == "complete"
        and meta.holds_text(collection)
        and meta.fields == collection.state.fields
        and meta.queries_fingerprint == collection.state.queries_fingerprint
    )


def _chunks(collection: Collection) -> list[Chunk]:
    """Ranges of at most 8,192 rows; none holds both passages and queries."""
    ranges = []
    for lo, hi in (
        (0, collection.passage_count),
        (collection.passage_count, collection.passage_count + collection.state.query_count),
    ):
        ranges += [(at, min(at + CHUNK_ROWS, hi)) for at in range(lo, hi, CHUNK_ROWS)]
    return [Chunk(n=n, lo=lo, hi=hi) for n, (lo, hi) in enumerate(ranges)]
