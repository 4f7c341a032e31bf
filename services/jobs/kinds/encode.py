"""Encode: the vectors, or term weights, of a collection's passages and queries by one system, shard by shard.

A chunk is one shard: a range of 4,096 passages or queries. Both tables are numbered in one row of
numbers: passages first, then, from the next multiple of 4,096 on, queries. A chunk's `lo` therefore says
which table it is about, whatever the plan left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, ClassVar, Literal

import numpy as np

from services.collections.collection import Collection
from services.encoding.backend import Vectors
from services.encoding.encoder import load_model
from services.encoding.shards import (
    SHARD_ROWS,
    TABLES,
    Shard,
    TableName,
    VectorFolder,
    ranges,
    read_texts,
    row_count,
    texts_fingerprint,
)
from services.encoding.survey import survey
from services.encoding.vectors import open_rows
from services.encoding.weights import Weights
from services.errors import Conflict
from services.jobs.kind import Chunk, Context, DeadRow, Estimate, Kind, Queue, Receipt, Spec
from services.meter import PeakMemory
from services.systems.models import installed_or_pull, required
from services.systems.registry import Registry
from services.systems.system import System


class EncodeSpec(Spec):
    """Encode all passages and queries of a collection's state that have no vectors yet.

    With a nonce (`--force`) all of them.
    """

    kind: Literal["encode"] = "encode"
    system: str

    @property
    def title(self) -> str:
        """See `Spec.title`."""
        return f"encode {self.collection} {self.system}"


@dataclass(frozen=True)
class _Work:
    """What every step of a job starts from."""

    collection: Collection
    system: System
    folder: VectorFolder

    @classmethod
    def of(cls, context: Context, spec: EncodeSpec) -> _Work:
        system = Registry.load(context.store).retrieving(spec.system)
        collection = Collection.open(context.store, spec.collection, spec.collection_version)
        model = required(context.store, system)
        return cls(collection, system, VectorFolder(context.store, collection.name, system, model))

    def todo(self, spec: EncodeSpec) -> list[tuple[TableName, int, int]]:
        """The ranges to encode: those without vectors, or with a nonce all."""
        if not spec.nonce:
            return self.folder.missing(self.collection)
        return [(table, lo, hi) for table in TABLES for lo, hi in ranges(row_count(self.collection, table))]


class EncodeKind(Kind[EncodeSpec]):
    """A chunk is one shard. Limits fit the slowest: 4,096 long passages, a base model, one core."""

    name = "encode"
    queue: ClassVar[Queue] = "gpu"
    soft_limit = 1800.0
    hard_limit = 1860.0
    spec_type = EncodeSpec

    def fresh(self, context: Context, spec: EncodeSpec) -> str | None:
        """Vectors for exactly these texts by exactly this model."""
        collection = Collection.open(context.store, spec.collection, spec.collection_version)
        vectors = open_rows(collection, Registry.load(context.store).retrieving(spec.system))
        if vectors is None:
            return None
        dead = sum(shard.dead for shard in (*vectors.passages.shards, *vectors.queries.shards))
        return (
            f"{vectors.passages.count:,} passages and {vectors.queries.count:,} queries have vectors already"
            + (f", but for {dead:,} that cannot be encoded" if dead else "")
        )

    def requires(self, context: Context, spec: EncodeSpec) -> list[Spec]:
        """No other job, but the model in the store: copied now, from an installed package, if it can be.

        Raises:
            NotFound: the model must be pulled first.
        """
        installed_or_pull(context.store, Registry.load(context.store).retrieving(spec.system))
        return []

    def plan(self, context: Context, spec: EncodeSpec) -> list[Chunk]:
        """One chunk per missing shard, passages first."""
        work = _Work.of(context, spec)
        offset = _queries_from(work.collection)
        return [
            Chunk(n=n, lo=lo + offset * (table == "queries"), hi=hi + offset * (table == "queries"))
            for n, (table, lo, hi) in enumerate(work.todo(spec))
        ]

    def run_chunk(self, context: Context, spec: EncodeSpec, chunk: Chunk) -> Receipt:
        """Encode one shard and write it."""
        work = _Work.of(context, spec)
        table, lo, hi = _located(work.collection, chunk)
        encoder = load_model(context.store, work.folder.model, work.folder.profile, context.settings)
        started = time.monotonic()
        encoded = encoder.engine.encode(
            read_texts(work.collection, table, lo, hi),
            prompt=encoder.prompt("passage" if table == "passages" else "query"),
            scale=context.batch_scale,
            progress=context.checkpoint,
        )
        context.log(
            f"{table} {lo}..{hi}: {(hi - lo) / (time.monotonic() - started):.0f} rows/s on {encoder.device}"
        )
        part = context.store.write_part(
            f"{work.folder.key}/{table}",
            lo,
            hi,
            hi - lo,
            *_written(encoded.vectors),
        )
        parts = work.collection.state.passages if table == "passages" else work.collection.state.queries
        shard = Shard(
            table=table,
            texts=texts_fingerprint(parts, lo, hi),
            device=encoder.device,
            dead=len(encoded.dead),
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            part=part,
        )
        return Receipt(
            rows=hi - lo,
            bytes=part.bytes,
            parts=[part],
            dead=_dead_rows(work.collection, table, lo, encoded.dead),
            facts={"folder": work.folder.key, "shard": shard.model_dump(mode="json")},
        )

    def finish(self, context: Context, spec: EncodeSpec, receipts: Sequence[Receipt]) -> dict[str, Any]:
        """Make the shards known.

        Raises:
            Conflict: another model was pulled while the job ran.
        """
        work = _Work.of(context, spec)
        mine = [receipt for receipt in receipts if receipt.facts["folder"] == work.folder.key]
        if mine:
            work.folder.add([Shard.model_validate(receipt.facts["shard"]) for receipt in mine])
        vectors = open_rows(work.collection, work.system)
        if vectors is None:
            raise Conflict(
                f"the vectors of '{spec.collection}' by '{spec.system}' are not complete: another model "
                "was pulled, or a shard was damaged, while the job ran",
                hint="encode again",
            )
        rows, seconds = sum(receipt.rows for receipt in mine), sum(receipt.seconds for receipt in mine)
        speed = round(rows / seconds, 1) if seconds else None
        if speed:
            context.store.write_json(_speed_key(work), {"rows_per_second": speed})
        return {
            "system": spec.system,
            "folder": work.folder.key,
            "model": work.folder.model.fingerprint,
            "dim": vectors.dim,
            "similarity": vectors.similarity,
            "passages": vectors.passages.count,
            "queries": vectors.queries.count,
            "encoded": rows,
            "dead": sum(shard.dead for shard in (*vectors.passages.shards, *vectors.queries.shards)),
            "rows_per_second": speed,
        }

    def estimate(self, context: Context, spec: EncodeSpec) -> Estimate:
        """Shards, rows and bytes that are missing; seconds once this model has encoded something."""
        work = _Work.of(context, spec)
        counted = _counted(work, work.todo(spec))
        speed = context.store.read_json(_speed_key(work))
        return counted.model_copy(
            update={"seconds": counted.rows / speed["rows_per_second"] if speed else None}
        )

    def measure(self, context: Context, spec: EncodeSpec) -> Estimate:
        """The same with tokens and pace of a sample of the texts, from all over and of all lengths."""
        from services.models.torch_runtime import device_name

        peak, began = PeakMemory(), time.perf_counter()
        work = _Work.of(context, spec)
        todo = work.todo(spec)
        encoder = load_model(context.store, work.folder.model, work.folder.profile, context.settings)
        startup = time.perf_counter() - began
        found = survey(work.collection, todo, encoder)
        return _counted(work, todo).model_copy(
            update={
                "tokens": found.tokens,
                "seconds": found.seconds,
                "startup": startup,
                "device": device_name(encoder.device),
                "memory": peak.bytes + SHARD_ROWS * work.folder.row_bytes("passages"),
                "device_memory": peak.device_bytes,
            }
        )


def _counted(work: _Work, todo: Sequence[tuple[TableName, int, int]]) -> Estimate:
    """What can be counted."""
    passages, queries = (sum(hi - lo for name, lo, hi in todo if name == table) for table in TABLES)
    return Estimate(
        chunks=len(todo),
        rows=passages + queries,
        bytes=passages * work.folder.row_bytes("passages") + queries * work.folder.row_bytes("queries"),
        passages=passages,
        queries=queries,
    )


def _written(rows: Vectors | Weights) -> tuple[str, Callable[[IO[bytes]], None]]:
    """The extension of a part that holds these rows, and what writes it."""
    if isinstance(rows, Weights):
        return "npz", rows.save
    return "npy", lambda stream: np.save(stream, rows)


def _queries_from(collection: Collection) -> int:
    """Where queries begin in a job's row of numbers: the first shard boundary after the passages."""
    return -(-row_count(collection, "passages") // SHARD_ROWS) * SHARD_ROWS


def _located(collection: Collection, chunk: Chunk) -> tuple[TableName, int, int]:
    """The table and range that a chunk stands for."""
    offset = _queries_from(collection)
    if chunk.lo < offset:
        return "passages", chunk.lo, chunk.hi
    return "queries", chunk.lo - offset, chunk.hi - offset


def _dead_rows(collection: Collection, table: TableName, lo: int, dead: dict[int, str]) -> list[DeadRow]:
    """Dead rows by the user's ids."""
    if not dead:
        return []
    read, column = (
        (collection.read_passages, "pid") if table == "passages" else (collection.read_queries, "qid")
    )
    ids = read(lo, lo + max(dead) + 1, [column])[column].to_pylist()
    return [DeadRow(row=ids[n], reason=f"{table}: {reason}") for n, reason in sorted(dead.items())]


def _speed_key(work: _Work) -> str:
    """Where a model's speed, as last measured, lies."""
    return f"{work.folder.model.folder}/speed.json"
