"""Parts of scores: writing sorted ones, and sorting pairs that come in any order."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from services.errors import InputError
from services.mining.ranking import Ords, Scores, pair_keys
from services.scoring.score_folder import ScoreFolder, ScorePart
from services.spill import append_records
from services.store import Part

SCHEMA = pa.schema([("qord", pa.int32()), ("ord", pa.int32()), ("score", pa.float32())])
ROW_GROUP = 1 << 16
"""Rows that are read together: 0.8 MB."""
PART_ROWS = 1 << 22
"""Rows of a part that is written from a stream: 50 MB in memory."""
_BUCKETS = 256
_PENDING = 1 << 20
_RECORD = np.dtype([("qord", np.int32), ("ord", np.int32), ("score", np.float32)])


class Triples(NamedTuple):
    """Pairs and their scores, three columns of equal length: int32, int32, float32."""

    qords: Ords
    ords: Ords
    scores: Scores

    @classmethod
    def empty(cls) -> Triples:
        """No pair."""
        return cls(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32))


def write_part(folder: ScoreFolder, triples: Triples, *, merged: str = "") -> Part:
    """Write pairs, sorted by (qord, ord) and each once, as one part.

    Args:
        folder: Where to.
        triples: At least one pair.
        merged: What the part was merged from; written into it, so that it never equals an earlier part.
    """
    schema = SCHEMA.with_metadata({"merged": merged}) if merged else SCHEMA
    table = pa.table([pa.array(column) for column in triples], schema=schema)

    def write(stream: IO[bytes]) -> None:
        pq.write_table(table, stream, compression="zstd", row_group_size=ROW_GROUP, store_schema=False)

    lo, hi = int(triples.qords[0]), int(triples.qords[-1]) + 1
    return folder.store.write_part(folder.key, lo, hi, len(table), "parquet", write)


def write_stream(folder: ScoreFolder, blocks: Iterable[Triples], *, merged: str = "") -> list[ScorePart]:
    """Write blocks that follow each other in (qord, ord) as parts of about `PART_ROWS` pairs."""
    parts: list[ScorePart] = []
    pending: list[Triples] = []

    def flush() -> None:
        whole = Triples(*(np.concatenate(columns) for columns in zip(*pending, strict=True)))
        pending.clear()
        dead = int(np.isnan(whole.scores).sum())
        parts.append(ScorePart.now(write_part(folder, whole, merged=merged), dead=dead))

    for block in blocks:
        if len(block.qords):
            pending.append(block)
        if sum(len(one.qords) for one in pending) >= PART_ROWS:
            flush()
    if pending:
        flush()
    return parts


class ScoreSorter:
    """Takes pairs in any order and gives them back sorted, in memory bounded by a 256th of them.

    Args:
        queries: The collection's `query_count`.
        name: Names a pair in an error, by the user's ids.
        scratch: Folder for the pairs meanwhile (12 bytes each); default: the machine's.
    """

    def __init__(self, queries: int, name: Callable[[int, int], str], scratch: Path | None = None) -> None:
        self._per_bucket = max(1, -(-queries // _BUCKETS))
        self._name = name
        self._folder = tempfile.TemporaryDirectory(prefix="msmctl-scores-", dir=scratch)
        self._pending: list[Triples] = []

    def __enter__(self) -> ScoreSorter:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def add(self, triples: Triples) -> None:
        """Take pairs."""
        self._pending.append(triples)
        if sum(len(one.qords) for one in self._pending) >= _PENDING:
            self._spill()

    def sorted(self) -> Iterator[Triples]:
        """All pairs taken, ascending, each once.

        Raises:
            InputError: a pair came twice with different scores.
        """
        self._spill()
        for path in sorted(Path(self._folder.name).iterdir()):
            records = np.fromfile(path, _RECORD)
            yield self._distinct(Triples(*(records[name].copy() for name in _RECORD.names or ())))

    def content(self) -> str:
        """Hash of what was taken, whatever its order was."""
        digest = hashlib.sha256()
        for block in self.sorted():
            for column in block:
                digest.update(column.tobytes())
        return digest.hexdigest()

    def _spill(self) -> None:
        if not self._pending:
            return
        columns = [np.concatenate(columns) for columns in zip(*self._pending, strict=True)]
        self._pending.clear()
        records = np.empty(len(columns[0]), _RECORD)
        for name, column in zip(_RECORD.names or (), columns, strict=True):
            records[name] = column
        bucket = records["qord"] // self._per_bucket
        order = np.argsort(bucket, kind="stable")
        found, starts = np.unique(bucket[order], return_index=True)
        for number, rows in zip(found, np.split(order, starts[1:]), strict=True):
            append_records(Path(self._folder.name) / f"{number:08d}", records[rows])

    def _distinct(self, triples: Triples) -> Triples:
        keys = pair_keys(triples.qords, triples.ords)
        order = np.argsort(keys, kind="stable")
        keys, scores = keys[order], triples.scores[order]
        again = np.flatnonzero(keys[1:] == keys[:-1]) + 1
        differs = again[scores[again] != scores[again - 1]]
        if len(differs):
            n = int(differs[0])
            pair = self._name(int(keys[n] >> 32), int(keys[n] & 0xFFFFFFFF))
            raise InputError(
                f"{pair} has two scores: {scores[n - 1]:g} and {scores[n]:g}",
                hint="keep one of the two",
            )
        first = np.ones(len(keys), np.bool_)
        first[again] = False
        kept = order[first]
        return Triples(triples.qords[kept], triples.ords[kept], triples.scores[kept])
