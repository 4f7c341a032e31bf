"""TREC run files: `qid Q0 pid rank score tag`, compressed or not; read as trec_eval does, and written."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from services.collections.bad_row import BadRow
from services.collections.collection import Collection
from services.collections.sources.lines import LONGEST_LINE, plain_lines
from services.errors import InputError
from services.mining.numbers import parse_number, rounded
from services.mining.ranking import Candidates
from services.mining.trec_order import in_trec_order
from services.shown import shown

_COLUMNS = 6


@dataclass
class TrecRun:
    """A run file that was read against a collection.

    Attributes:
        tag: The name that the file gives its system (of its first line).
        rankings: Per known query, best first; an unknown pid has a negative ord, so that it keeps its rank.
        unknown_queries: Queries that the collection does not have (their lines are passed over).
        unknown_passages: Different pids that the collection does not have (they answer nothing).
    """

    tag: str
    rankings: list[Candidates] = field(repr=False)
    unknown_queries: int
    unknown_passages: int


def read_run(path: Path, collection: Collection) -> TrecRun:
    """Read a run. As in trec_eval the score orders it, as float32, and not the rank column.

    Ties go to the greater pid.

    Raises:
        InputError: the file is absent or broken, a line is no run line, a pid is there twice for a
            query, or none of the queries is known.
    """
    tag, lists = _read_lines(path)
    qids = list(lists)
    qords = collection.qords_of(qids)
    if not (qords >= 0).any():
        raise InputError(
            f"{path}: none of its {len(qids):,} queries is in collection '{collection.name}'",
            hint=f"is it a run of another collection? `msmctl collection show {collection.name}`",
        )
    pids = sorted({pid for scores in lists.values() for pid in scores})
    ords = collection.ords_of(pids)
    absent = ords < 0
    ords[absent] = -1 - np.arange(absent.sum(), dtype=np.int32)
    ord_of = dict(zip(pids, ords.tolist(), strict=True))
    rankings = [
        _ranking(int(qord), lists[qid], ord_of) for qid, qord in zip(qids, qords, strict=True) if qord >= 0
    ]
    return TrecRun(tag, rankings, int((qords < 0).sum()), int(absent.sum()))


def _ranking(qord: int, scores: dict[str, float], ord_of: dict[str, int]) -> Candidates:
    best_first = sorted(((score, pid) for pid, score in scores.items()), reverse=True)
    ords = np.array([ord_of[pid] for _, pid in best_first], np.int32)
    return Candidates(qord, ords, np.array([score for score, _ in best_first], np.float32))


def _read_lines(path: Path) -> tuple[str, dict[str, dict[str, float]]]:
    """The first line's tag, and per qid the score of each pid."""
    tag = ""
    lists: dict[str, dict[str, float]] = {}
    interned: dict[str, str] = {}  # a pid is there once in memory, however many lists name it
    for number, line in _numbered_lines(path):
        columns = line.split()
        if len(columns) != _COLUMNS:
            raise InputError(
                f"{path}:{number}: expected 6 columns (qid Q0 pid rank score tag), found {len(columns)}",
                hint="the file must be a TREC run, its columns separated by white space",
            )
        qid, _, pid, _, text, name = columns
        scores = lists.setdefault(qid, {})
        pid = interned.setdefault(pid, pid)
        if pid in scores:
            raise InputError(
                f"{path}:{number}: passage {shown(pid)} is there a second time for query {shown(qid)}",
                hint="a run names a passage once per query",
            )
        scores[pid] = _score(text, f"{path}:{number}")
        tag = tag or name
    if not lists:
        raise InputError(f"{path}: the run is empty", hint="a line is: qid Q0 pid rank score tag")
    return tag, lists


def _score(text: str, where: str) -> float:
    try:
        return rounded(parse_number(text, "score"))
    except BadRow as bad:
        raise InputError(f"{where}: {bad.found}", hint="the columns are: qid Q0 pid rank score tag") from None


def _numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    if path.is_dir():
        raise InputError(f"{path}: is a folder", hint="give the path of a TREC run")
    for number, line in plain_lines(path):
        if line is None:
            raise InputError(
                f"{path}:{number}: the line is longer than {LONGEST_LINE >> 20} MiB",
                hint="a line is: qid Q0 pid rank score tag",
            )
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}:{number}: not UTF-8: byte 0x{line[error.start]:02x}", hint="save it as UTF-8"
            ) from error
        if text.strip():
            yield number, text


def write_run(
    path: Path, collection: Collection, tag: str, rankings: Iterable[Candidates]
) -> Iterator[Candidates]:
    """Write rankings to a TREC run (gz by the name's ending) as they pass by; whole, or not at all.

    Whoever reads it finds their order (`services/mining/trec_order.py`).

    Raises:
        InputError: the file cannot be written.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        raw = scratch.open("wb")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written: {error.strerror}", hint="give another --run-out"
        ) from error
    try:
        with raw, _packed(raw, path.suffix == ".gz") as file:
            for ranking in rankings:
                file.write(_lines(collection, tag, ranking))
                yield ranking
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _packed(raw: IO[bytes], gz: bool) -> IO[str]:
    # mtime 0: the same run gives the same bytes
    stream = gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if gz else raw
    return io.TextIOWrapper(stream, encoding="utf-8", newline="\n")


def _lines(collection: Collection, tag: str, ranking: Candidates) -> str:
    qid = collection.qids[ranking.qord]
    pids = pa.array(collection.pids_of(ranking.ords), pa.string())
    scores = in_trec_order(np.zeros(len(pids), np.int64), pids, ranking.scores)
    found = zip(pids.to_pylist(), pa.array(scores).cast(pa.string()).to_pylist(), strict=True)
    return "".join(f"{qid} Q0 {pid} {rank} {score} {tag}\n" for rank, (pid, score) in enumerate(found, 1))
