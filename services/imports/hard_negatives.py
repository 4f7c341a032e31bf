"""Import mined negatives, JSON lines as the reference file has them: each list becomes a run of its system.

A list holds candidates, best first; it is known that they were taken for negatives, and no score. So the
rank is the position, the score its negative. The lists of a key of our registry (`bm25`, …) become that
system's run, until it is mined here; another key becomes an imported system.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from services.collections.bad_row import BadRow, Rejects
from services.collections.collection import Collection
from services.errors import Conflict, InputError, MsmError, NotFound, UsageError
from services.exports.claims.claim import Entry, Malformed
from services.exports.claims.jsonl import read_entries
from services.imports.rejects import OnError, RejectedRows, rejecting
from services.imports.run_sorter import RunSorter
from services.imports.runs import RunOutcome, new_system, register
from services.imports.stored_run import RunWriter, fresh_run, require_place
from services.mining.exclusion import Judgements
from services.shown import shown
from services.store.fingerprint import file_sha256
from services.systems.registry import Registry
from services.systems.system import System

Report = Callable[[int, float], None]
"""Told of how many more queries are read, and the share of the file."""
_IDS = 1 << 18  # looked up together
_CHARACTERS = 1 << 26
_SYSTEMS = 100
_LONGEST_KEY = 255


@dataclass(frozen=True)
class NegativesRequest:
    """What to import; see `RunRequest`."""

    file: Path
    split: str
    on_error: OnError = "fail"
    replace: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class NegativesOutcome:
    """What was imported, as `--json` prints it.

    Attributes:
        other_positives: Ids in `pos` that the split's judgements do not call positive.
        left_out: Systems without a run, because the collection has none of their passages.
        runs: Per system, its run.
    """

    file: str
    collection: str
    split: str
    queries: int
    other_positives: int
    left_out: list[str]
    rejected: int
    rejects: str | None
    fresh: bool
    dry_run: bool
    runs: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def import_negatives(
    collection: Collection, request: NegativesRequest, report: Report = lambda queries, share: None
) -> NegativesOutcome:
    """Read the file and make its lists the runs of its systems.

    All are written before the first becomes current; killed while they do, the same again finishes it.

    Raises:
        InputError: a line is broken, or (with `on_error="fail"`) names an unknown id; or two keys are one
            system.
        Conflict: a system has another run there, or a new name reads like another.
        NotFound: no such split.
    """
    collection.split_members(request.split)
    sha256 = file_sha256(request.file) if request.file.is_file() else ""
    with rejecting(request.on_error) as rejected, ExitStack() as stack:
        lists = _Lists(collection, request, rejected.rows, stack)
        lists.read(report)
        runs = _store(collection, request, lists, rejected, sha256)
        fresh = all(run.fresh for run in runs)
        return NegativesOutcome(
            str(request.file), collection.name, request.split, lists.queries, lists.other_positives,
            lists.left_out(), rejected.rows.count,
            rejected.keep(collection, f"negatives-{request.split}", dry_run=request.dry_run),
            fresh, request.dry_run, [run.as_dict() for run in runs],
        )  # fmt: skip


def _store(
    collection: Collection, request: NegativesRequest, lists: _Lists, rejected: RejectedRows, sha256: str
) -> list[RunOutcome]:
    """Write every run, then make all of them current."""
    made: list[tuple[RunWriter, Any]] = []
    outcomes: list[RunOutcome] = []
    complete = request.on_error == "fail"
    try:
        for system, sorter in lists.known():
            there = fresh_run(collection, request.split, system, sha256, complete=complete)
            if there is not None:
                outcomes.append(
                    RunOutcome.of(there, request.file, rejects=None, fresh=True, dry_run=request.dry_run)
                )
                continue
            require_place(collection, request.split, system, replace=request.replace)
            writer = RunWriter(collection, request.split, system, sha256, dry_run=request.dry_run)
            facts = {
                "file": request.file.name, "sha256": sha256, "layout": "hard-negatives",
                "tag": system.reference_key, "rejected": rejected.rows.count,
            }  # fmt: skip
            made.append((writer, None))
            manifest = writer.write(rejected.counted(sorter.sorted(), facts), facts)
            made[-1] = writer, manifest
            outcomes.append(
                RunOutcome.of(manifest, request.file, rejects=None, fresh=False, dry_run=request.dry_run)
            )
        if not request.dry_run:
            for system, _ in lists.known():
                register(collection, system)
            for writer, manifest in made:
                writer.publish(manifest)
    finally:
        for writer, _ in made:
            writer.discard()
    return outcomes


class _Lists:
    """The lists of a file, by system, with the positions of their ids.

    Attributes:
        systems: By name, a system and its rows.
        queries: Lines with a known query.
        other_positives: Ids in `pos` that the judgements do not call positive.
    """

    def __init__(
        self, collection: Collection, request: NegativesRequest, rejects: Rejects, stack: ExitStack
    ) -> None:
        self._collection = collection
        self._request = request
        self._rejects = rejects
        self._stack = stack
        self._registry = Registry.load(collection.store)
        self._keys: dict[str, str] = {}  # by system
        self._refused: dict[str, tuple[str, str]] = {}  # by key: what was found, and the remedy
        self._members = set(collection.split_qords(request.split, judged_only=False).tolist())
        self._judgements = Judgements(collection, [request.split])
        self._seen = np.zeros(collection.state.query_count, np.int64)  # its line
        self.systems: dict[str, tuple[System, RunSorter]] = {}
        self._known: set[str] = set()
        self.queries = 0
        self.other_positives = 0

    def read(self, report: Report) -> None:
        """Read the whole file."""
        file = self._request.file
        size = max(1, file.stat().st_size) if file.is_file() else 1
        done = 0

        def read(position: int) -> None:
            nonlocal done
            done = position

        for entries in self._batches(read_entries(file, read)):
            self._take(entries)
            report(len(entries), done / size)
        if not self._known:
            raise InputError(
                f"{file}: holds no list of negatives of split '{self._request.split}' of collection "
                f"'{self._collection.name}'",
                hint='is it of another collection? a line is {"qid": …, "pos": […], "neg": {"bm25": […]}}',
            )

    def known(self) -> list[tuple[System, RunSorter]]:
        """The systems that have a passage which the collection has."""
        return [self.systems[name] for name in self.systems if name in self._known]

    def left_out(self) -> list[str]:
        """The names of the others."""
        return [name for name in self.systems if name not in self._known]

    def _batches(self, entries: Iterator[Entry | Malformed]) -> Iterator[list[Entry]]:
        pending: list[Entry] = []
        size = characters = 0
        for entry in entries:
            if isinstance(entry, Malformed):
                self._reject(entry.line, entry.why, "write each line as the reference file has it")
                continue
            pending.append(entry)
            size += 1 + entry.ids
            characters += entry.characters
            if size >= _IDS or characters >= _CHARACTERS:
                yield pending
                pending, size, characters = [], 0, 0
        if pending:
            yield pending

    def _take(self, entries: list[Entry]) -> None:
        pids = sorted({pid for entry in entries for ids in (entry.pos, *entry.neg.values()) for pid in ids})
        known = dict(zip(pids, self._collection.ords_of(pids).tolist(), strict=True))
        qords = self._collection.qords_of([entry.qid or "" for entry in entries]).tolist()
        rows: dict[str, list[tuple[int, int, float, int]]] = {}
        for entry, qord in zip(entries, qords, strict=True):
            if not self._is_ours(entry, qord):
                continue
            self.queries += 1
            self._compare(entry, qord, known)
            for key, ids in entry.neg.items():
                system = self._system_of(entry, key)
                if system is None:
                    continue
                of_system = rows.setdefault(system.name, [])
                of_system += [(qord, known[pid], -float(n), entry.line) for n, pid in enumerate(ids, 1)]
        for name, found in rows.items():
            if not found:
                continue
            if any(ord_ >= 0 for _, ord_, _, _ in found):
                self._known.add(name)
            self._sorter(name).add(
                *(np.array(column, dtype) for column, dtype in zip(
                    zip(*found, strict=True), (np.int32, np.int32, np.float64, np.int64), strict=True
                ))
            )  # fmt: skip

    def _is_ours(self, entry: Entry, qord: int) -> bool:
        if qord not in self._members:
            self._reject(
                entry.line,
                f"query {shown(entry.qid)} is not in split '{self._request.split}' of collection "
                f"'{self._collection.name}'",
                "import the collection that the file was made for",
            )
            return False
        if self._seen[qord]:
            found = f"query {shown(entry.qid)} is there a second time (first: line {self._seen[qord]:,})"
            self._reject(entry.line, found, "keep one of the two")
            return False
        self._seen[qord] = entry.line
        return True

    def _compare(self, entry: Entry, qord: int, known: dict[str, int]) -> None:
        """Count positives that are none here, and say which passages are unknown."""
        positives = set(self._judgements.of(qord)[0].tolist())
        self.other_positives += sum(known[pid] not in positives for pid in entry.pos)
        unknown = [pid for ids in (entry.pos, *entry.neg.values()) for pid in ids if known[pid] < 0]
        if unknown:
            self._reject(
                entry.line,
                f"query {shown(entry.qid)}: {len(unknown):,} passages are not in collection "
                f"'{self._collection.name}', the first is {shown(unknown[0])}",
                "import the collection that the file was made for",
            )

    def _sorter(self, name: str) -> RunSorter:
        if name not in self.systems:
            sorter = self._stack.enter_context(
                RunSorter(self._collection, str(self._request.file), self._rejects)
            )
            self.systems[name] = self._registry.get(name), sorter
        return self.systems[name][1]

    def _system_of(self, entry: Entry, key: str) -> System | None:
        """The system of a list; None where it can have none, so that the list is left out."""
        if key not in self._refused:
            try:
                system = self._system(key)
            except UsageError as error:
                self._refuse(key, "cannot be the name of a system", error)
            except Conflict as error:
                self._refuse(key, error.message, error)
        if key in self._refused:
            self._reject(entry.line, *self._refused[key])
            return None
        other = self._keys.setdefault(system.name, key)
        if other != key:
            self._reject(
                entry.line,
                f"{shown(other)} and {shown(key)} are both the system '{system.name}'",
                "leave one of the lists out, or give it another name",
            )
            return None
        return system

    def _refuse(self, key: str, why: str, error: MsmError) -> None:
        if len(self._refused) >= _SYSTEMS:
            raise self._too_many()
        self._refused[key] = f"list {shown(key)}: {why}", str(error.hint)

    def _too_many(self) -> InputError:
        return InputError(
            f"{self._request.file}: more than {_SYSTEMS} systems",
            hint="`neg` has a key per system, such as bm25: is this such a file?",
        )

    def _system(self, key: str) -> System:
        """The system of a key; a new one is known to the registry at once, but not to the store."""
        if len(key) > _LONGEST_KEY:  # the registry would look for what it resembles
            raise UsageError("too long", hint="give the system a short name")
        try:
            return self._registry.get(key)
        except NotFound:
            if len(self._keys) >= _SYSTEMS:
                raise self._too_many() from None
            system = new_system(key, self._request.file)
            self._registry = Registry([*self._registry, system])
            return system

    def _reject(self, line: int, found: str, remedy: str) -> None:
        self._rejects.add(str(self._request.file), line, BadRow(found, remedy))
