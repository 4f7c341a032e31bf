"""Files of columns: runs, judgements, triples of ids, teacher scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from services.collections.bad_row import BadRow
from services.collections.rows import Record
from services.collections.sources.lines import LineSource
from services.exports.claims.claim import Claims, Entry, Malformed, Read
from services.mining.numbers import is_number, parse_number

_HEADERS = ("qid", "query-id", "query_id", "pos_score")
_GRADES = ("0", "1", "2", "3", "4")
_MOST = 0.5
Cells = list[str]
Known = Callable[[list[str]], float]
"""Which share of some ids the collection has as passages."""


def open_lines(file: Path, sample: Sequence[str], known: Known, read: Read, declared: str | None) -> Claims:
    """The file.

    Args:
        file: The file.
        sample: Its first lines.
        known: Tells triples of ids from runs and judgements.
        read: Told of the bytes read so far.
        declared: The format that its manifest names, if it has one.
    """
    format_name = declared if declared == "qidpidtriples" else _recognised(sample, known)
    return Claims(format_name, _entries(_Columns(file, format_name), read), pairs=format_name in _PAIRS)


def _recognised(sample: Sequence[str], known: Known) -> str:
    rows = [line.split("\t") if "\t" in line else line.split() for line in sample]
    if len(rows) > 1 and rows[0] and rows[0][0].lower() in _HEADERS and not _is_grade(rows[0][-1]):
        header, rows = rows[0], rows[1:]
        if len(header) == 3:
            return "beir-qrels"
    columns = len(rows[0]) if rows else 0
    if columns == 3:
        return _of_three([row for row in rows if len(row) == 3], known)
    if columns == 4:
        return "qrels" if all(_is_grade(row[-1]) for row in rows) else "top1000"
    return {5: "kd", 6: "trec-run"}.get(columns, "trec-run")


def _of_three(rows: list[Cells], known: Known) -> str:
    """Ranks count up from 1 within a query, grades are small, and what else is mostly known are passages.

    A run or judgements name a passage once for a query; rows that name one again are triples, if what is
    third are passages, and where most do, whatever is third.
    """
    seen: dict[str, int] = {}
    ranks = True
    for qid, _, cell in rows:
        seen[qid] = seen.get(qid, 0) + 1
        ranks &= cell == str(seen[qid])
    pairs = len({(qid, pid) for qid, pid, _ in rows})
    ranks &= 2 * pairs > len(rows)
    third = [row[2] for row in rows]
    passages = known(third) >= _MOST
    once = pairs == len(rows) or not passages
    if once and all(cell in _GRADES for cell in third) and not (ranks and max(seen.values()) > 1):
        return "beir-qrels"
    return "qidpidtriples" if not ranks and passages else "msmarco-run"


def _is_grade(cell: str) -> bool:
    return cell.removeprefix("-").isdecimal()


class _Columns(LineSource):
    """Lines of a known format."""

    typed = False

    def __init__(self, path: Path, format_name: str) -> None:
        super().__init__(path)
        self._format = format_name

    def parse(self, line: str, number: int) -> Record | None:
        """The cells; none of a header."""
        cells = line.split("\t") if self._format == "top1000" else line.split()
        width = _WIDTHS[self._format]
        if number == 1 and self._is_header(cells):
            return None
        if len(cells) != width:
            raise BadRow(f"{len(cells)} columns, not {width}", "")
        for place in _NUMBERS.get(self._format, ()):
            parse_number(cells[place], f"column {place + 1}")
        return {"cells": cells}

    def _is_header(self, cells: Cells) -> bool:
        """A query may be called `qid`: where a row has numbers, a header has none."""
        places = [place for place in _NUMBERS.get(self._format, ()) if place < len(cells)]
        return (
            bool(cells)
            and cells[0].lower() in _HEADERS
            and not any(is_number(cells[place]) for place in places)
        )


def _entries(source: _Columns, read: Read) -> Iterator[Entry | Malformed]:
    parse = _PARSERS[source._format]
    for number, record in source.records():
        if isinstance(record, BadRow):
            yield Malformed(number, record.found)
        else:
            yield parse(record["cells"], number)
        read(source.done)


def _run(cells: Cells, line: int) -> Entry:
    return Entry(line, cells[0], other=[cells[2] if len(cells) == 6 else cells[1]])


def _qrels(cells: Cells, line: int) -> Entry:
    return Entry(line, cells[0], other=[cells[-2]])


def _triple(cells: Cells, line: int) -> Entry:
    return Entry(line, cells[0], [cells[1]], {"negative": [cells[2]]})


def _kd(cells: Cells, line: int) -> Entry:
    return Entry(line, cells[2], [cells[3]], {"negative": [cells[4]]})


_PARSERS: dict[str, Any] = {
    "trec-run": _run, "msmarco-run": _run, "top1000": _run, "qrels": _qrels, "beir-qrels": _qrels,
    "qidpidtriples": _triple, "kd": _kd,
}  # fmt: skip
_PAIRS = ("trec-run", "msmarco-run", "top1000", "qrels", "beir-qrels")
_WIDTHS = {
    "trec-run": 6, "msmarco-run": 3, "top1000": 4, "qrels": 4, "beir-qrels": 3, "qidpidtriples": 3, "kd": 5,
}  # fmt: skip
_NUMBERS = {"trec-run": (4,), "msmarco-run": (2,), "qrels": (3,), "beir-qrels": (2,), "kd": (0, 1)}
