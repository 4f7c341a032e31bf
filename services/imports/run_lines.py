"""Run files of the field, line by line: which system returned which passage, and what orders it.

Told apart by the first line:

| columns | what orders the passages of a query |
|---|---|
| TREC: qid Q0 pid rank score tag | the score as float32, descending; not the rank column: as in trec_eval |
| MS MARCO: qid pid rank | the rank |
| ColBERT: qid pid rank score, by tabs | the rank |
| top1000: qid pid query passage, by tabs | the order of the file |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from services.collections.bad_row import BadRow
from services.collections.rows import LONGEST_ID, Record
from services.collections.sources.lines import LineSource
from services.mining.numbers import is_number, parse_number, rounded


class RunRow(NamedTuple):
    """One passage of one query. The greater `value` comes first; `line` is the place in the file."""

    qid: str
    pid: str
    value: float
    line: int


class RunFile(LineSource):
    """A run file.

    Args:
        path: The file; plain, gzip or zstd.

    Attributes:
        layout: `trec`, `msmarco`, `colbert` or `top1000`; "" before the first line.
        tag: The name that a TREC run gives its system.
    """

    typed = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.layout = ""
        self.tag = ""

    def rows(self) -> Iterator[RunRow | tuple[int, BadRow]]:
        """All lines, bad ones too.

        Raises:
            InputError: the file cannot be read to its end.
        """
        for number, record in self.records():
            if isinstance(record, BadRow):
                yield number, record
            else:
                yield RunRow(record["qid"], record["pid"], record["value"], number)

    def parse(self, line: str, number: int) -> Record | None:
        """One line."""
        if not self.layout:
            self.layout = _layout(line)
        qid, pid, value, tag = _PARSERS[self.layout](line, number)
        if max(len(qid), len(pid)) > LONGEST_ID:
            raise BadRow(f"an id of more than {LONGEST_ID} characters", "is it a run file?")
        self.tag = self.tag or tag
        return {"qid": qid, "pid": pid, "value": value}


def _layout(line: str) -> str:
    if line.count("\t") == 3:
        return "colbert" if all(map(is_number, line.split("\t")[2:])) else "top1000"
    layouts = {6: "trec", 3: "msmarco"}
    columns = len(line.split())
    if columns not in layouts:
        raise BadRow(
            f"{columns} columns, which is no run",
            "a line is `qid Q0 pid rank score tag` (TREC), `qid pid rank` (MS MARCO), or between tabs qid, "
            "pid, rank and score (ColBERT) or qid, pid, query and passage (top1000)",
        )
    return layouts[columns]


Parsed = tuple[str, str, float, str]


def _trec(line: str, number: int) -> Parsed:
    qid, _, pid, _, score, tag = _cells(line.split(), 6, "qid Q0 pid rank score tag")
    return qid, pid, rounded(parse_number(score, "score")), tag


def _msmarco(line: str, number: int) -> Parsed:
    qid, pid, rank = _cells(line.split(), 3, "qid pid rank")
    return qid, pid, -parse_number(rank, "rank"), ""


def _colbert(line: str, number: int) -> Parsed:
    qid, pid, rank, score = _cells(line.split("\t"), 4, "qid, pid, rank and score between tabs")
    parse_number(score, "score")
    return qid, pid, -parse_number(rank, "rank"), ""


def _top1000(line: str, number: int) -> Parsed:
    qid, pid, _, _ = _cells(line.split("\t"), 4, "qid, pid, query and passage between tabs")
    return qid, pid, float(-number), ""


_PARSERS: dict[str, Callable[[str, int], Parsed]] = {
    "trec": _trec, "msmarco": _msmarco, "colbert": _colbert, "top1000": _top1000,
}  # fmt: skip


def _cells(cells: list[str], columns: int, layout: str) -> list[str]:
    if len(cells) != columns:
        raise BadRow(f"{len(cells)} columns, not {columns} ({layout})", "write every line like the first")
    return cells
