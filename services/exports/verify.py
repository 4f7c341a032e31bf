"""Check any file of the field's formats against a collection: what in it is not what it claims to be?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import numpy as np

from services.collections.collection import Collection, Ords
from services.errors import InputError
from services.exports.claims.claim import Claims, Entry, Malformed
from services.exports.claims.detect import open_claims
from services.exports.claims.texts import TextIndex, named_by_ord
from services.exports.labels import Labels
from services.exports.recorded import changed_files, declared_format
from services.exports.repeats import SeenPairs
from services.exports.report import Report, SystemLists
from services.mining.exclusion import Reason, judged_lists
from services.mining.sketches import Sketches
from services.negatives.marks import Marks
from services.shown import plain
from services.visible import visible_files

_IDS = 1 << 20  # ids looked up at a time
_CHARACTERS = 1 << 26
_SYSTEMS = 1000  # counted one by one; the reference file has 13
_LINE_BITS = 40
_SHARD = re.compile(r"-\d+-of-\d+")
_OF_REASON = {
    Reason.POSITIVE: "positives",
    Reason.JUDGED: "judged",
    Reason.EXACT_COPY: "exact_copies",
    Reason.NEAR_COPY: "near_copies",
}


def verify(
    file: Path,
    collection: Collection,
    *,
    splits: list[str] | None = None,
    marks: Marks | None = None,
    required: int | None = None,
    read: Callable[[int], None] = lambda size: None,
) -> Report:
    """Read a file, or all files of a folder, and count what is wrong in it.

    Args:
        file: Of any format that is exported or imported, told by its content; ids integers or strings.
        collection: Whose texts and judgements count.
        splits: Whose judgements count; default: every split's. The file's own positives always count too.
        marks: People's marks, which count for more; None: they are not taken into account.
        required: Negatives that every query must have from every system in the file.
        read: Called with the bytes read so far.

    Raises:
        InputError: the file cannot be read at all, is of no known format, or there is nothing in it.
        NotFound: no such split.
    """
    report = Report(str(file), collection.name, required)
    check = _Check(report, collection, Labels(collection, splits, marks))
    done = 0
    files = files_of(file)
    changed = dict(changed_files(file))
    for path, how in changed.items():
        report.add("changed", 0, path=plain(str(path)), what=how)
    for _, shards in groupby(files, lambda one: (one.parent, _SHARD.sub("", one.name))):
        with check.table():
            for one in shards:
                report.part = plain(str(one.relative_to(file))) if one != file else None
                try:
                    claims = open_claims(
                        one,
                        lambda ids: float((collection.ords_of(ids) >= 0).mean()),
                        _after(done, read),
                        declared_format(one),
                    )
                except InputError as error:
                    if one.absolute() not in changed:
                        raise
                    report.add("malformed", 0, what=error.message)
                    continue
                if claims.format not in report.formats:
                    report.formats.append(claims.format)
                check.all(claims)
                done += one.stat().st_size
    if not report.lines and not changed:
        raise InputError(f"{file}: there is no line in it but blank ones", hint="check how it was made")
    return report


def files_of(file: Path) -> list[Path]:
    """The file itself; of a folder, its files but hidden ones, manifests and the card."""
    if not file.is_dir():
        return [file]
    found = [one for one in visible_files(file) if not one.name.endswith((".manifest.json", ".md"))]
    if not found:
        raise InputError(f"{file}: there is no file in the folder", hint="name a file, or an export's folder")
    return found


def _after(done: int, read: Callable[[int], None]) -> Callable[[int], None]:
    return lambda size: read(done + size)


class _Check:
    """Checks entries against a collection, many at a time."""

    def __init__(self, report: Report, collection: Collection, labels: Labels) -> None:
        self._report = report
        self._collection = collection
        self._labels = labels
        self._sketches = Sketches(collection)
        self._texts = TextIndex(collection, labels)
        self._seen = np.zeros(collection.state.query_count, np.int64)  # where: file and line
        self._parts: list[str | None] = []

    @contextmanager
    def table(self) -> Iterator[None]:
        """The files checked in the block are one table: what two of them have is there twice."""
        self._seen[:] = 0
        self._parts.clear()
        with SeenPairs(self._collection.state.query_count) as self._pairs:
            yield
            for qord, ord_, at in self._pairs.repeats():
                self._report.part = self._parts[(at >> _LINE_BITS) - 1]
                (pid,) = self._collection.pids_of(np.array([ord_], np.int32))
                line = at & ((1 << _LINE_BITS) - 1)
                self._report.add("repeats", line, qid=self._collection.qids[qord], pid=pid)

    def all(self, claims: Claims) -> None:
        """Check all that a file claims; inside `table`."""
        self._parts.append(self._report.part)
        self._whole, self._once = claims.whole, claims.pairs
        entries: list[Entry] = []
        size = characters = 0
        for entry in claims.entries:
            self._report.lines += 1
            if isinstance(entry, Malformed):
                self._report.add("malformed", entry.line, what=entry.why)
                continue
            self._report.queries += entry.qid is not None
            entries.append(self._with_ids(claims, entry))
            size += 1 + entry.ids
            characters += entry.characters
            if size >= _IDS or characters >= _CHARACTERS:
                self.take(entries)
                entries, size, characters = [], 0, 0
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
        if self._once:
            self._pairs.add(
                (qord, known[pid], self._at(entry.line))
                for entry, qord in zip(entries, qords, strict=True)
                for pid in entry.other
            )
        told = [
            self._labels.of(qord, tuple(_ords(entry.pos, known).tolist()))
            for entry, qord in zip(entries, qords, strict=True)
        ]
        results = judged_lists(
            (
                (_ords(ids, known), one.positives, one.no_negatives)
                for entry, one in zip(entries, told, strict=True)
                for ids in entry.neg.values()
            ),
            self._sketches,
        )
        for entry, qord, one in zip(entries, qords, told, strict=True):
            self._ids(entry, qord, known)
            for name, ids in entry.neg.items():
                ords, found = next(results)
                if len(one.kept):
                    found[np.isin(ords, one.kept)] = Reason.KEPT
                self._reasons(entry, name, ids, known, dict(zip(ords.tolist(), found.tolist(), strict=True)))

    def _ids(self, entry: Entry, qord: int, known: dict[str, int]) -> None:
        """What can be said without looking at texts: unknown ids, repeats, lengths."""
        report, line = self._report, entry.line
        if entry.qid is None:
            pass
        elif qord < 0:
            report.add("unknown_qids", line, qid=entry.qid)
        elif self._whole and self._seen[qord] not in (0, self._at(line)):
            report.add("repeats", line, qid=entry.qid)
        else:
            self._seen[qord] = self._at(line)
        place = known[entry.other[0]] if entry.other else qord
        if entry.at is not None and place not in (-1, entry.at):
            report.add("malformed", line, what=f"is number {place:,} of the collection, not {entry.at:,}")
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

    def _at(self, line: int) -> int:
        """A line of the present file, told apart from those of the table's other files; never 0."""
        return len(self._parts) << _LINE_BITS | line

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
    return np.array(sorted({known[pid] for pid in ids} - {-1}), np.int32)
