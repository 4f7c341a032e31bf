"""Check any file of the field's formats against a collection: what in it is not what it claims to be?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from services.collections.collection import Collection, Ords
from services.errors import InputError
from services.exports.claims.claim import Claims, Entry, Malformed
from services.exports.claims.detect import open_claims
from services.exports.claims.texts import TextIndex, named_by_ord
from services.mining.exclusion import Judgements, Reason, judged_lists
from services.mining.sketches import Sketches

EXAMPLES = 5
"""Examples shown of each kind of finding."""
_IDS = 1 << 20  # ids looked up at a time
_SYSTEMS = 1000  # counted one by one; the reference file has 13

KINDS = {
    "positives": "positives among negatives",
    "judged": "passages judged above zero, but not positive, among negatives",
    "exact_copies": "negatives with the text of a positive",
    "near_copies": "negatives with nearly the text of a positive",
    "repeats": "ids twice in a list, or queries twice in the file",
    "unknown_pids": "passages that the collection does not have",
    "unknown_qids": "queries that the collection does not have",
    "malformed": "lines that cannot be read",
}
_OF_REASON = {
    Reason.POSITIVE: "positives",
    Reason.JUDGED: "judged",
    Reason.EXACT_COPY: "exact_copies",
    Reason.NEAR_COPY: "near_copies",
}


@dataclass
class SystemLists:
    """What the file holds of one system: lists, ids in them, the shortest and the longest list."""

    required: int | None
    lists: int = 0
    negatives: int = 0
    min: int = 0
    max: int = 0
    enough: int = 0
    """Lists as long as required; where nothing is, as long as the longest."""

    def add(self, length: int) -> None:
        """Count one list."""
        if self.required is not None:
            self.enough += length >= self.required
        elif length >= self.max:
            self.enough = self.enough + 1 if length == self.max and self.lists else 1
        self.min = min(self.min, length) if self.lists else length
        self.max = max(self.max, length)
        self.lists += 1
        self.negatives += length

    def as_dict(self) -> dict[str, int]:
        """The shape of `--json`."""
        return {"lists": self.lists, "negatives": self.negatives, "min": self.min, "max": self.max}


@dataclass
class Report:
    """What was found. `findings` counts every occurrence, `examples` shows the first few of each kind.

    `lines` counts all lines but blank ones, `queries` those that could be read.
    """

    file: str
    collection: str
    required: int | None
    formats: list[str] = field(default_factory=list)
    lines: int = 0
    queries: int = 0
    systems: dict[str, SystemLists] = field(default_factory=dict)
    findings: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    examples: list[dict[str, Any]] = field(default_factory=list)
    part: str | None = None
    """Of a folder, the file that is being read."""

    def add(self, kind: str, line: int, **what: Any) -> None:
        """Count a finding."""
        self.findings[kind] += 1
        if self.findings[kind] <= EXAMPLES:
            where = {"file": self.part} if self.part else {}
            self.examples.append({"finding": kind, **where, "line": line} | what)

    @property
    def negatives(self) -> int:
        """Ids in all lists."""
        return sum(system.negatives for system in self.systems.values())

    def short_lists(self) -> dict[str, int]:
        """Per system, queries with fewer negatives than required (else: than the system's longest list)."""
        return {name: self.queries - system.enough for name, system in self.systems.items()}

    @property
    def ok(self) -> bool:
        """Nothing found, and where a depth is required, a system and no short list."""
        return not any(self.findings.values()) and (
            self.required is None or (bool(self.systems) and not any(self.short_lists().values()))
        )

    def shortcomings(self) -> list[str]:
        """All that makes it not `ok`, in words."""
        said = [f"{count:,} {KINDS[kind]}" for kind, count in self.findings.items() if count]
        short = sum(self.short_lists().values())
        if self.required is not None and short:
            said.append(f"{short:,} lists shorter than {self.required}")
        if self.required is not None and not self.systems:
            said.append(f"no list of any system, and a depth of {self.required} is required")
        return said

    def remedy(self) -> str:
        """What the user can do next where it is not `ok`."""
        kinds = {kind for kind, count in self.findings.items() if count}
        if not kinds:
            return f"`msmctl mine --depth {self.required}`, then export again"
        if "malformed" in kinds:
            return "is the file whole? fetch or make it again, or mend the lines named"
        if kinds & {"unknown_pids", "unknown_qids"}:
            return f"is it of another collection, or of an earlier state of '{self.collection}'?"
        return "`msmctl export hard-negatives` leaves all of these out"

    def as_dict(self) -> dict[str, Any]:
        """The shape of `--json` (docs/export.md)."""
        return {
            "file": self.file,
            "collection": self.collection,
            "formats": self.formats,
            "lines": self.lines,
            "negatives": self.negatives,
            "systems": {name: system.as_dict() for name, system in self.systems.items()},
            "findings": self.findings,
            "short_lists": self.short_lists(),
            "required_depth": self.required,
            "examples": self.examples,
            "ok": self.ok,
        }


def verify(
    file: Path,
    collection: Collection,
    *,
    splits: list[str] | None = None,
    required: int | None = None,
    read: Callable[[int], None] = lambda size: None,
) -> Report:
    """Read a file, or all files of a folder, and count what is wrong in it.

    Args:
        file: Of any format that is exported or imported, told by its content; ids integers or strings.
        collection: Whose texts and judgements count.
        splits: Whose judgements count; default: every split's. The file's own positives always count too.
        required: Negatives that every query must have from every system in the file.
        read: Called with the bytes read so far.

    Raises:
        InputError: the file cannot be read at all, is of no known format, or there is nothing in it.
        NotFound: no such split.
    """
    report = Report(str(file), collection.name, required)
    check = _Check(report, collection, splits)
    done = 0
    for one in files_of(file):
        claims = open_claims(
            one, lambda ids: float((collection.ords_of(ids) >= 0).mean()), _after(done, read)
        )
        if claims.format not in report.formats:
            report.formats.append(claims.format)
        report.part = str(one.relative_to(file)) if one != file else None
        check.all(claims)
        done += one.stat().st_size
    if not report.lines:
        raise InputError(f"{file}: there is no line in it but blank ones", hint="check how it was made")
    return report


def files_of(file: Path) -> list[Path]:
    """The file itself; of a folder, its files but hidden ones, manifests and the card."""
    if not file.is_dir():
        return [file]
    found = [
        one
        for one in sorted(file.rglob("*"))
        if one.is_file() and not one.name.startswith(".") and not one.name.endswith((".manifest.json", ".md"))
    ]
    if not found:
        raise InputError(f"{file}: there is no file in the folder", hint="name a file, or an export's folder")
    return found


def _after(done: int, read: Callable[[int], None]) -> Callable[[int], None]:
    return lambda size: read(done + size)


class _Check:
    """Checks entries against a collection, many at a time."""

    def __init__(self, report: Report, collection: Collection, splits: list[str] | None) -> None:
        for split in splits or ():
            collection.split_members(split)
        self._report = report
        self._collection = collection
        self._judgements = Judgements(collection, splits)
        self._sketches = Sketches(collection)
        self._texts = TextIndex(collection)
        self._seen = np.zeros(collection.state.query_count, np.int64)  # its line
        self._whole = True

    def all(self, claims: Claims) -> None:
        """Check all that a file claims."""
        self._seen[:] = 0
        self._whole = claims.whole
        entries: list[Entry] = []
        size = 0
        for entry in claims.entries:
            self._report.lines += 1
            if isinstance(entry, Malformed):
                self._report.add("malformed", entry.line, what=entry.why)
                continue
            self._report.queries += entry.qid is not None
            entries.append(self._with_ids(claims, entry))
            size += 1 + len(entry.pos) + len(entry.other) + sum(map(len, entry.neg.values()))
            if size >= _IDS:
                self.take(entries)
                entries, size = [], 0
        self.take(entries)

    def _with_ids(self, claims: Claims, entry: Entry) -> Entry:
        if claims.texts:
            return self._texts.with_ids(entry)
        return named_by_ord(self._collection, entry) if claims.ords else entry

    def take(self, entries: list[Entry]) -> None:
        """Check some entries and count what is found."""
        pids = sorted({pid for entry in entries for _, ids in _lists(entry) for pid in ids})
        known = dict(zip(pids, self._collection.ords_of(pids).tolist(), strict=True))
        qords = self._collection.qords_of([entry.qid or "" for entry in entries]).tolist()
        lists: list[tuple[Ords, Ords, Ords]] = []
        for entry, qord in zip(entries, qords, strict=True):
            self._ids(entry, qord, known)
            positives, above_zero = self._judged(entry, qord, known)
            lists += [(_ords(ids, known), positives, above_zero) for ids in entry.neg.values()]
        results = judged_lists(lists, self._sketches)
        for entry in entries:
            for name, ids in entry.neg.items():
                reasons = dict(zip(*(array.tolist() for array in next(results)), strict=True))
                self._reasons(entry, name, ids, known, reasons)

    def _judged(self, entry: Entry, qord: int, known: dict[str, int]) -> tuple[Ords, Ords]:
        """The query's positives, the file's own included, and all that is judged above zero."""
        positives, above_zero = self._judgements.of(qord)
        own = _ords(entry.pos, known)
        return np.union1d(positives, own).astype(np.int32), np.union1d(above_zero, own).astype(np.int32)

    def _ids(self, entry: Entry, qord: int, known: dict[str, int]) -> None:
        """What can be said without looking at texts: unknown ids, repeats, lengths."""
        report, line = self._report, entry.line
        if entry.qid is None:
            pass
        elif qord < 0:
            report.add("unknown_qids", line, qid=entry.qid)
        elif self._whole and self._seen[qord] not in (0, line):
            report.add("repeats", line, qid=entry.qid)
        else:
            self._seen[qord] = line
        for name, ids in entry.neg.items():
            if name in report.systems or len(report.systems) < _SYSTEMS:
                report.systems.setdefault(name, SystemLists(report.required)).add(len(ids))
            else:
                report.add("malformed", line, qid=entry.qid, what=f"more than {_SYSTEMS:,} systems")
        for name, ids in _lists(entry):
            seen: set[str] = set()
            for pid in ids:
                if pid in seen:
                    report.add("repeats", line, qid=entry.qid, pid=pid, list=name)
                seen.add(pid)
                if known[pid] < 0:
                    report.add("unknown_pids", line, qid=entry.qid, pid=pid, list=name)

    def _reasons(
        self, entry: Entry, name: str, ids: list[str], known: dict[str, int], reasons: dict[int, int]
    ) -> None:
        for pid in ids:
            kind = _OF_REASON.get(Reason(reasons.get(known[pid], Reason.KEPT)))
            if kind:
                self._report.add(kind, entry.line, qid=entry.qid, pid=pid, list=name)


def _lists(entry: Entry) -> list[tuple[str, list[str]]]:
    """All lists of an entry with their names."""
    return [("pos", entry.pos), *entry.neg.items(), ("passages", entry.other)]


def _ords(ids: list[str], known: dict[str, int]) -> Ords:
    ords = np.unique(np.array([known[pid] for pid in ids], np.int32))
    return ords[ords >= 0]
