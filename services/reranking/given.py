"""The given lists: a run file, sorted into lists of one query each in bounded memory.

A file may name its queries in any order (MS MARCO's top1000 files do). Its rows go to files of 64 queries
each, in the order in which queries first appear; one such file is in memory at a time.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson

from services.collections.bad_row import BadRow, Rejects
from services.collections.rows import Record
from services.errors import InputError
from services.imports.run_lines import RunFile

_QUERIES = 64
_PENDING = 1 << 18  # rows


@dataclass(frozen=True)
class GivenList:
    """One query's passages, best first.

    Attributes:
        query: Its text, and `texts` those of the passages, where the file brings them; else None.
    """

    qid: str
    pids: list[str]
    query: str | None = None
    texts: list[str] | None = None


class _Row(NamedTuple):
    pid: str
    value: float
    line: int
    text: str | None


class GivenFile(RunFile):
    """A run file whose texts count; see `RunFile` for its layouts."""

    @property
    def brings_texts(self) -> bool:
        """Whether the file has texts. Reads its first good line."""
        for _ in self.records():
            if self.layout:
                break
        return self.layout == "top1000"

    def parse(self, line: str, number: int) -> Record | None:
        """One line, with its texts."""
        record = dict(super().parse(line, number) or {})
        for name in ("qid", "pid"):
            if len(record[name].split()) != 1:
                raise BadRow(
                    f"{name} {record[name][:40]!r} is empty or has white space", "write ids as one word"
                )
        if self.layout == "top1000":
            _, _, record["query"], record["text"] = line.split("\t")
        return record


class GivenLists:
    """All lists of a file. To be used as a context: what is on disk meanwhile goes with it.

    Args:
        file: What was given.
        rejects: Takes bad lines.

    Attributes:
        tag: Name of the system, where the file says it.
        passages: Rows of all lists.
    """

    def __init__(self, file: GivenFile, rejects: Rejects) -> None:
        self._file = file
        self._rejects = rejects
        self._numbers: dict[str, int] = {}
        self._queries: dict[int, str] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="msmctl-rerank-")

    def __enter__(self) -> GivenLists:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def __len__(self) -> int:
        """How many queries."""
        return len(self._numbers)

    def read(self, progress: Callable[[int], None] = lambda rows: None) -> None:
        """Read the file.

        Args:
            progress: Called now and then with the number of rows so far.

        Raises:
            InputError: it cannot be read, is empty, or a line is wrong.
        """
        pending: dict[int, list[bytes]] = defaultdict(list)
        rows = 0
        for line, record in self._file.records():
            if isinstance(record, BadRow):
                self._rejects.add(str(self._file.path), line, record)
                continue
            number = self._numbers.setdefault(record["qid"], len(self._numbers))
            if not self._same_query(number, record, line):
                continue
            row = (number, record["pid"], record["value"], line, record.get("text"))
            pending[number // _QUERIES].append(orjson.dumps(row))
            rows += 1
            if not rows % _PENDING:
                self._spill(pending)
                progress(rows)
        self._spill(pending)
        progress(rows)
        if not rows:
            raise InputError(
                f"{self._file.path}: the run is empty", hint="a line is: qid Q0 pid rank score tag"
            )

    def __iter__(self) -> Iterator[GivenList]:
        """All lists, in the order in which their queries first appear.

        Raises:
            InputError: a query has a passage twice.
        """
        qids = list(self._numbers)
        for bucket in range(-(-len(qids) // _QUERIES)):
            rows: dict[int, list[_Row]] = defaultdict(list)
            place = self._place(bucket)
            for line in place.read_bytes().splitlines() if place.exists() else []:
                number, *row = orjson.loads(line)
                rows[number].append(_Row(*row))
            for number in sorted(rows):
                yield self._list(qids[number], self._queries.get(number), rows[number])

    def _list(self, qid: str, query: str | None, rows: list[_Row]) -> GivenList:
        # As trec_eval orders equal scores: the greater pid first.
        rows.sort(key=lambda row: (row.value, row.pid), reverse=True)
        first: dict[str, _Row] = {}
        for row in rows:
            if row.pid in first:
                again = BadRow(
                    f"passage '{row.pid}' is there a second time for query '{qid}'",
                    "a run names a passage once per query",
                )
                self._rejects.add(str(self._file.path), max(row.line, first[row.pid].line), again)
                continue
            first[row.pid] = row
        texts = None if query is None else [row.text or "" for row in first.values()]
        return GivenList(qid, list(first), query, texts)

    def _same_query(self, number: int, record: Record, line: int) -> bool:
        text = record.get("query")
        if text is None or self._queries.setdefault(number, text) == text:
            return True
        other = BadRow(f"query '{record['qid']}' has another text than before", "give a query one text")
        self._rejects.add(str(self._file.path), line, other)
        return False

    def _spill(self, pending: dict[int, list[bytes]]) -> None:
        for bucket, lines in pending.items():
            with self._place(bucket).open("ab") as file:
                file.write(b"\n".join(lines) + b"\n")
        pending.clear()

    def _place(self, bucket: int) -> Path:
        return Path(self._folder.name) / f"{bucket:08d}"
