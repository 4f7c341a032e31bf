"""Import a run file: it becomes the run of a system that is known by its runs only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from services.collections.bad_row import BadRow, Rejects
from services.collections.collection import Collection
from services.errors import Conflict, NotFound
from services.imports.rejects import OnError, rejecting
from services.imports.run_lines import RunFile, RunRow
from services.imports.run_sorter import RunSorter
from services.imports.stored_run import RunWriter, fresh_run, require_place
from services.mining.runs import RunManifest
from services.shown import shown
from services.store.fingerprint import file_sha256
from services.systems.registry import Registry
from services.systems.system import System

Report = Callable[[int, float], None]
"""Told of how many more lines are read, and the share of the file."""
_ROWS = 1 << 17  # resolved together


@dataclass(frozen=True)
class RunRequest:
    """What to import.

    Attributes:
        file: A run in one of the layouts of `run_lines`.
        system: Name of the system, new or of earlier imported runs.
        split: Split of the queries.
        on_error: What becomes of bad lines and unknown ids.
        replace: Take the place of the system's run of the split.
        dry_run: Read and check everything, keep nothing.
    """

    file: Path
    system: str
    split: str
    on_error: OnError = "fail"
    replace: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class RunOutcome:
    """What was imported, as `--json` prints it."""

    file: str
    layout: str
    collection: str
    split: str
    system: str
    queries: int
    candidates: int
    depth: int
    rejected: int
    rejects: str | None
    fresh: bool
    dry_run: bool
    fingerprint: str

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    @classmethod
    def of(
        cls, manifest: RunManifest, file: Path, *, rejects: str | None, fresh: bool, dry_run: bool
    ) -> RunOutcome:
        """Of a run as it was, or would be, stored."""
        inputs = manifest.inputs
        return cls(
            str(file), manifest.facts["layout"], inputs.collection, inputs.split, inputs.system,
            manifest.queries, manifest.candidates, inputs.depth, manifest.facts["rejected"], rejects,
            fresh, dry_run, "" if dry_run and not fresh else inputs.system_fingerprint,
        )  # fmt: skip


def import_run(
    collection: Collection, request: RunRequest, report: Report = lambda lines, share: None
) -> RunOutcome:
    """Read the file and make it the system's run.

    Raises:
        InputError: a line is broken, or (with `on_error="fail"`) names an unknown id.
        Conflict: the system can be asked itself, or has another run there.
        NotFound: no such split.
    """
    collection.split_members(request.split)
    system = imported_system(collection, request.system, request.file)
    source = RunFile(request.file)
    sha256 = file_sha256(request.file)
    there = fresh_run(collection, request.split, system, sha256, complete=request.on_error == "fail")
    if there is not None:
        return RunOutcome.of(there, request.file, rejects=None, fresh=True, dry_run=request.dry_run)
    require_place(collection, request.split, system, replace=request.replace)
    writer = RunWriter(collection, request.split, system, sha256, dry_run=request.dry_run)
    with (
        rejecting(request.on_error) as rejected,
        RunSorter(collection, str(request.file), rejected.rows) as sorter,
    ):
        resolver = _Rows(collection, request.split, source, rejected.rows)
        for batch in resolver.batches():
            sorter.add(*batch)
            report(len(batch[0]), source.done / source.size)
        facts = {
            "file": request.file.name,
            "sha256": sha256,
            "layout": source.layout,
            "tag": source.tag,
            "rejected": rejected.rows.count,
        }
        try:
            manifest = writer.write(rejected.counted(sorter.sorted(), facts), facts)
            if not request.dry_run:
                register(collection, system)
                writer.publish(manifest)
        finally:
            writer.discard()
        rejects = rejected.keep(collection, f"run-{request.split}-{system.slug}", dry_run=request.dry_run)
    return RunOutcome.of(manifest, request.file, rejects=rejects, fresh=False, dry_run=request.dry_run)


def imported_system(collection: Collection, name: str, file: Path) -> System:
    """The imported system of that name, as it is registered or would be.

    Raises:
        UsageError: it is no name.
        Conflict: it is the name of a system that can be asked.
    """
    registry = Registry.load(collection.store)
    try:
        known = registry.get(name)
    except NotFound:
        return new_system(name, file)
    if not known.is_imported:
        raise Conflict(
            f"'{name}' is the system {known.name}, which is mined here",
            hint=f"choose another name, such as {known.name}-imported",
        )
    return known


def new_system(name: str, file: Path) -> System:
    """A system that is known by what is imported from a file; UsageError where that is no name."""
    Registry.require_name(name)
    note = f"imported from {file.name}"
    return System(name=name, kind="imported", similarity="dot", max_length=None, note=note)


def register(collection: Collection, system: System) -> None:
    """See that the registry has an imported system."""
    try:
        Registry.load(collection.store).get(system.name)
    except NotFound:
        Registry.save(collection.store, system)


class _Rows:
    """Rows of a file with the positions of their ids."""

    def __init__(self, collection: Collection, split: str, source: RunFile, rejects: Rejects) -> None:
        self._collection = collection
        self._split = split
        self._members = collection.split_qords(split, judged_only=False)
        self._source = source
        self._rejects = rejects

    def batches(self) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Columns as `RunSorter.add` takes them."""
        pending: list[RunRow] = []
        for row in self._source.rows():
            if not isinstance(row, RunRow):
                self._rejects.add(self._source.label, *row)
                continue
            pending.append(row)
            if len(pending) >= _ROWS:
                yield self._resolved(pending)
                pending = []
        if pending:
            yield self._resolved(pending)

    def _resolved(self, rows: list[RunRow]) -> tuple[Any, Any, Any, Any]:
        qids, pids, values, lines = zip(*rows, strict=True)
        qords = self._collection.qords_of(list(qids))
        inside = np.isin(qords, self._members)
        ords = self._collection.ords_of(list(pids))
        self._report(rows, inside, ords >= 0)
        columns = (qords, ords, np.array(values, np.float64), np.array(lines, np.int64))
        return tuple(column[inside] for column in columns)  # type: ignore[return-value]

    def _report(self, rows: list[RunRow], inside: Any, known: Any) -> None:
        """One entry per list of neighbouring lines of an unknown query; one per unknown passage."""
        collection, split = self._collection.name, self._split
        last = ""
        for n in np.flatnonzero(~(inside & known)).tolist():
            row = rows[n]
            if inside[n]:
                found = (
                    f"query {shown(row.qid)}: passage {shown(row.pid)} is not in collection '{collection}'"
                )
            elif row.qid == last:
                continue
            else:
                last = row.qid
                found = f"query {shown(row.qid)} is not in split '{split}' of collection '{collection}'"
            remedy = "import the collection that the run was made on"
            self._rejects.add(self._source.label, row.line, BadRow(found, remedy))
