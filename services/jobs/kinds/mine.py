"""Mine: what a system returns for the queries of a split, as deep as needed for `depth` negatives."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version as software_version
from typing import Any, ClassVar, Literal

from pydantic import Field

from services.collections.collection import Collection, Ords
from services.elastic.versions import served
from services.encoding.shards import TERMS
from services.errors import Conflict, InputError, MsmError, NotFound
from services.jobs.kind import Chunk, Context, DeadRow, Estimate, Kind, Queue, Receipt, Spec
from services.meter import PeakMemory
from services.mining.measured import probe, with_vectors
from services.mining.miner import Miner, inputs_of, measured_recall
from services.mining.retrieve import Target, open_retriever
from services.mining.runs import (
    Engine,
    Inputs,
    RunManifest,
    make_current,
    open_run,
    remove_ruins,
    run_folder,
    write_part,
)
from services.store.fingerprint import short
from services.systems.registry import Registry

_QUERIES = 1000  # per chunk through Elasticsearch: seconds, or a minute or two on millions of passages
_PRODUCTS = 2e12  # multiply-adds per chunk of exact products: half a minute on two cores
_LEAST, _MOST = 256, 4096
_WIDEST = 1024  # dimensions assumed while there are no vectors to look at, and of term weights
_ROW = 8  # bytes of a candidate in a part, about
_HELD = 48  # and in memory


class MineSpec(Spec):
    """One system on one split."""

    kind: Literal["mine"] = "mine"
    split: str
    system: str
    """As the registry has it, no alias."""
    depth: int = Field(50, ge=1, le=10_000)
    engine: Engine = "exact"
    """`exact` or `es` for dense and sparse systems; `es` for bm25."""
    all_queries: bool = False
    refresh: bool = False

    @property
    def title(self) -> str:
        """Such as `mine squad/train bm25`."""
        return f"mine {self.collection}/{self.split} {self.system}"

    @classmethod
    def of_each(
        cls, collection: Collection, systems: Sequence[str], *, split: str, engine: Engine, **asked: Any
    ) -> list[MineSpec]:
        """The specs of some systems, named in any spelling, on a collection's present state.

        Raises:
            NotFound: no such split or system. UsageError: a system that cannot be asked.
        """
        collection.split_members(split)
        registry = Registry.load(collection.store)
        chosen = {system.name: system for system in map(registry.retrieving, systems)}
        return [
            cls(
                collection=collection.name,
                collection_version=collection.state.version,
                split=split,
                system=system.name,
                engine=engine if system.encodes else "es",
                **asked,
            )
            for system in chosen.values()
        ]


class MineKind(Kind[MineSpec]):
    """A chunk is a range of positions in the ascending list of the split's queries."""

    name = "mine"
    queue: ClassVar[Queue] = "cpu"
    spec_type = MineSpec

    def queue_of(self, spec: MineSpec) -> Queue:
        """Exact products go where the encoders go; what Elasticsearch does takes no GPU."""
        return "gpu" if spec.engine == "exact" else "cpu"

    def fresh(self, context: Context, spec: MineSpec) -> str | None:
        """The current run, if it was made from the same inputs and is deep enough."""
        target = _target(context, spec)
        run = open_run(target.collection, spec.split, target.system.name)
        if run is None or not run.manifest.inputs.serve(_inputs(target, spec)):
            return None
        return f"{run.manifest.queries:,} queries are mined to depth {run.manifest.inputs.depth} already"

    def requires(self, context: Context, spec: MineSpec) -> list[Spec]:
        """Vectors for exact products, an index for what Elasticsearch does."""
        from services.jobs.kinds.encode import EncodeSpec
        from services.jobs.kinds.index import IndexSpec

        target = _target(context, spec)
        pinned: dict[str, Any] = {
            "collection": spec.collection,
            "collection_version": spec.collection_version,
        }
        if spec.engine == "exact":
            return [EncodeSpec(**pinned, system=spec.system)]
        try:
            open_retriever(context, target, spec.engine)
        except NotFound:
            if not target.system.encodes:
                return [IndexSpec(**pinned)]
            now = served(context.elastic(), context.settings, spec.collection)
            return [
                IndexSpec(
                    **pinned, systems=(spec.system,), vector_index=now.meta.vector_index if now else "hnsw"
                )
            ]
        return []

    def plan(self, context: Context, spec: MineSpec) -> list[Chunk]:
        """Ranges of queries; for exact products so many that reading the vectors is worth it."""
        target = _target(context, spec)
        total = len(_queries(target, spec))
        size = _chunk_size(target, spec)
        return [Chunk(n=n, lo=lo, hi=min(lo + size, total)) for n, lo in enumerate(range(0, total, size))]

    def run_chunk(self, context: Context, spec: MineSpec, chunk: Chunk) -> Receipt:
        """Mine a range of queries and write it as one part; those that the system does not take are dead."""
        target = _target(context, spec)
        qords = _queries(target, spec)[chunk.lo : chunk.hi]
        if len(qords) != chunk.hi - chunk.lo:
            raise _replaced(spec)
        lists, facts = Miner(context, target, _inputs(target, spec)).mine(qords, refresh=spec.refresh)
        facts["collection_fingerprint"] = target.collection.state.fingerprint
        lo, hi = int(qords[0]), int(qords[-1]) + 1
        part = write_part(context.store, _parts_folder(context, target, spec), lo, hi, lists)
        refused = [one for one in lists if one.refused]
        dead = [DeadRow(row=target.collection.qids[one.qord], reason=one.refused) for one in refused]
        return Receipt(rows=len(qords) - len(dead), bytes=part.bytes, parts=[part], dead=dead, facts=facts)

    def finish(self, context: Context, spec: MineSpec, receipts: Sequence[Receipt]) -> dict[str, Any]:
        """Make the run the current one; the result tells of the run that stands."""
        target = _target(context, spec)
        inputs = _inputs(target, spec)
        states = {receipt.facts.get("collection_fingerprint") for receipt in receipts}
        if states - {inputs.collection_fingerprint}:
            raise _replaced(spec)
        if any(receipt.facts["system_fingerprint"] != inputs.system_fingerprint for receipt in receipts):
            raise MsmError(f"{spec.title}: the vectors changed while they were mined", hint="mine again")
        facts = _sources(receipts)
        if spec.engine == "es" and target.system.encodes:
            facts["recall"] = measured_recall(context, target, _queries(target, spec), spec.depth)
            context.log(f"recall@{spec.depth} against exact products: {facts['recall']:.4f}")
        totals = {
            name: sum(int(receipt.facts[name]) for receipt in receipts)
            for name in ("candidates", "short", "reused")
        }
        manifest = RunManifest(
            inputs=inputs,
            folder=_parts_folder(context, target, spec),
            facts=facts,
            shards=target.shards,
            parts=[part for receipt in receipts for part in receipt.parts],
            queries=sum(receipt.rows for receipt in receipts),
            software=software_version("msmctl"),
            **totals,
        )
        slug = target.system.slug
        stands = make_current(context.store, slug, manifest, forced=bool(spec.nonce))
        remove_ruins(context.store, run_folder(spec.collection, spec.split, slug), context.job_ended)
        if stands is None:
            raise Conflict(
                f"{spec.title}: a run of a later state of the collection has been made meanwhile",
                hint="nothing to do: the later run stays",
            )
        return {
            "collection": spec.collection,
            "split": spec.split,
            "system": spec.system,
            "engine": stands.inputs.engine,
            "depth": stands.inputs.depth,
            **stands.model_dump(include={"queries", *totals}),
            **stands.facts,
        }

    def estimate(self, context: Context, spec: MineSpec) -> Estimate:
        """Chunks, queries, the bytes of the parts; seconds by a short probe in this process."""
        return _probed(context, _target(context, spec), spec)

    def measure(self, context: Context, spec: MineSpec) -> Estimate:
        """The same for vectors that are still to be made; BM25 and kNN need their index."""
        peak = PeakMemory()
        target = _target(context, spec)
        if spec.engine == "exact":
            target = with_vectors(target)
        estimate = _probed(context, target, spec)
        if target.vectors is not None:
            at_once = min(estimate.rows, _chunk_size(target, spec))
            row = 4 * target.vectors.dim if target.system.is_dense else 8 * TERMS["queries"]
            held = at_once * (row + _HELD * spec.depth)
        else:
            held = 0
        return estimate.model_copy(update={"memory": peak.bytes + held, "device_memory": peak.device_bytes})


def _probed(context: Context, target: Target, spec: MineSpec) -> Estimate:
    qords = _queries(target, spec)
    found = probe(context, target, spec.engine, qords, spec.depth)
    return Estimate(
        chunks=-(-len(qords) // _chunk_size(target, spec)),
        rows=len(qords),
        bytes=len(qords) * min(spec.depth + 1, target.collection.passage_count) * _ROW,
        queries=len(qords),
        passages=target.collection.state.live_passages,
        seconds=found.seconds if found else None,
        device=found.device if found else None,
    )


def _target(context: Context, spec: MineSpec) -> Target:
    collection = Collection.open(context.store, spec.collection, spec.collection_version)
    return Target.of(collection, Registry.load(context.store).retrieving(spec.system))


def _inputs(target: Target, spec: MineSpec) -> Inputs:
    return inputs_of(target, spec.split, depth=spec.depth, engine=spec.engine, all_queries=spec.all_queries)


def _queries(target: Target, spec: MineSpec) -> Ords:
    collection = target.collection
    qords = collection.split_qords(spec.split, judged_only=not spec.all_queries)
    if not len(qords):
        what = "" if spec.all_queries else f" with a positive (grade {collection.state.min_rel} or above)"
        raise InputError(
            f"split '{spec.split}' of collection '{collection.name}' has no query{what}",
            hint="add queries or qrels with `msmctl collection update`, or take --all-queries",
        )
    return qords


def _replaced(spec: MineSpec) -> MsmError:
    """The collection was removed and imported again under the same name and version."""
    return MsmError(f"{spec.title}: the collection was replaced while it was mined", hint="mine again")


def _parts_folder(context: Context, target: Target, spec: MineSpec) -> str:
    """The job's own; what goes on after an interruption is the same job."""
    owner = context.job_id or short(spec.hash)
    return f"{run_folder(spec.collection, spec.split, target.system.slug)}/{owner}"


def _chunk_size(target: Target, spec: MineSpec) -> int:
    if spec.engine == "es":
        return _QUERIES
    width = _WIDEST if target.vectors is None or target.system.kind == "sparse" else target.vectors.dim
    products = max(1, target.collection.passage_count) * width
    return int(min(max(_PRODUCTS / products // _LEAST * _LEAST, _LEAST), _MOST))


def _sources(receipts: Sequence[Receipt]) -> dict[str, Any]:
    """Where the answers came from: one value where all chunks agree, else all of them, sorted."""
    found: dict[str, set[str]] = {}
    for receipt in receipts:
        for name, value in receipt.facts["source"].items():
            found.setdefault(name, set()).add(str(value))
    return {name: values.pop() if len(values) == 1 else sorted(values) for name, values in found.items()}
