"""Puts sorted rows into the store as the run of a system."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version as software_version
from typing import Any

import numpy as np
import pyarrow as pa

from services.collections.collection import Collection, Ords
from services.errors import Conflict, InputError
from services.imports.run_sorter import Sorted
from services.mining.exclusion import rule
from services.mining.runs import IMPORTED, Inputs, RunManifest, make_current, open_run, run_folder, write_rows
from services.store import Part, fingerprint
from services.store.fingerprint import short
from services.systems.system import System

_ROWS = 1 << 20  # of a part


def fresh_run(
    collection: Collection, split: str, system: System, sha256: str, *, complete: bool
) -> RunManifest | None:
    """The system's run, if it is of that file and of the present state of the collection.

    Args:
        collection: The present state.
        split: Split of the queries.
        system: Whose run.
        sha256: Of the file.
        complete: Only one for which nothing of the file was left out.
    """
    run = open_run(collection, split, system.name)
    if run is None:
        return None
    inputs, facts = run.manifest.inputs, run.manifest.facts
    same = (
        inputs.engine == IMPORTED
        and facts["sha256"] == sha256
        and inputs.collection_fingerprint == collection.state.fingerprint
    )
    return run.manifest if same and not (complete and facts["rejected"]) else None


def require_place(collection: Collection, split: str, system: System, *, replace: bool) -> None:
    """Conflict where the system has a run already, and it is not to be replaced."""
    if open_run(collection, split, system.name) is not None and not replace:
        raise Conflict(
            f"system '{system.name}' has another run on split '{split}' of collection '{collection.name}'",
            hint="--replace takes its place",
        )


class RunWriter:
    """Writes the parts of one run; nobody sees them before `publish`.

    Args:
        collection: The present state.
        split: Split of the queries.
        system: Whose run it becomes.
        sha256: Of the file that it comes from.
        dry_run: Only count.
    """

    def __init__(
        self, collection: Collection, split: str, system: System, sha256: str, *, dry_run: bool
    ) -> None:
        self._collection = collection
        self._split = split
        self._system = system
        self._dry_run = dry_run
        made_of = short(fingerprint([sha256, collection.state.fingerprint]))
        self._key = f"{run_folder(collection.name, split, system.slug)}/imported-{made_of}"
        self._parts: list[Part] = []
        self._pending: list[pa.Table] = []
        self._queries: list[Ords] = [np.empty(0, np.int32)]
        self._sizes: list[Ords] = [np.empty(0, np.int32)]
        self._deepest = 0

    def write(self, blocks: Iterable[Sorted], facts: dict[str, Any]) -> RunManifest:
        """Write all blocks.

        Raises:
            InputError: there is no row.
        """
        for block in blocks:
            self._add(block)
        self._flush()
        queries, sizes = np.concatenate(self._queries), np.concatenate(self._sizes)
        if not len(queries):
            name = self._collection.name
            raise InputError(
                f"{facts['file']}: holds nothing of split '{self._split}' of collection '{name}'",
                hint=f"is it of another collection or split? `msmctl collection show {name}`",
            )
        return RunManifest(
            inputs=self._inputs(queries),
            folder=self._key,
            parts=self._parts,
            queries=len(queries),
            candidates=int(sizes.sum()),
            short=int((sizes < self._deepest).sum()),
            facts=facts,
            software=software_version("msmctl"),
        )

    def publish(self, manifest: RunManifest) -> None:
        """Make the run the current one of its system."""
        make_current(self._collection.store, self._system.slug, manifest, forced=True)

    def discard(self) -> None:
        """Remove what was written, unless it is (again) what the current run consists of."""
        current = open_run(self._collection, self._split, self._system.name)
        if current is None or current.manifest.folder != self._key:
            self._collection.store.remove(self._key)

    def _add(self, block: Sorted) -> None:
        self._deepest = max(self._deepest, block.deepest)
        qords, sizes = np.unique(block.rows["qord"].to_numpy(), return_counts=True)
        self._queries.append(qords)
        self._sizes.append(sizes.astype(np.int32))
        self._pending.append(block.rows)
        if sum(map(len, self._pending)) >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        rows = pa.concat_tables(self._pending).combine_chunks() if self._pending else None
        self._pending = []
        if rows is not None and len(rows) and not self._dry_run:
            lo, hi = rows["qord"][0].as_py(), rows["qord"][-1].as_py() + 1
            self._parts.append(write_rows(self._collection.store, self._key, lo, hi, rows))

    def _inputs(self, queries: Ords) -> Inputs:
        state = self._collection.state
        every = self._collection.split_qords(self._split, judged_only=False)
        unjudged = np.setdiff1d(every, self._collection.split_qords(self._split))
        return Inputs(
            collection=state.name,
            collection_version=state.version,
            collection_fingerprint=state.fingerprint,
            passages_fingerprint=state.passages_fingerprint,
            split=self._split,
            system=self._system.name,
            system_fingerprint=fingerprint([part.sha256 for part in self._parts]),
            engine=IMPORTED,
            depth=self._deepest,
            all_queries=bool(len(unjudged)) and bool(np.isin(unjudged, queries).all()),
            exclusion=rule(),
        )
