"""From what is given to a committed state: what import and update have in common."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from services.collections.bad_row import Rejects
from services.collections.collection import folder
from services.collections.passages import apply_passages
from services.collections.qrels import apply_qrels
from services.collections.queries import apply_queries
from services.collections.reader import Reader, Report
from services.collections.sources.source import Given
from services.collections.state import CollectionState
from services.collections.writer import commit, sweep
from services.errors import MsmError
from services.spill import spilling, spool
from services.store import Store

OnError = Literal["fail", "skip"]


def silent(rows: int, fraction: float | None) -> None:
    """Reports progress to nobody."""


@dataclass(frozen=True)
class How:
    """How an import or update is done.

    Attributes:
        locks: Folder of the lock files.
        on_error: What becomes of bad rows.
        dry_run: Read and check everything, keep nothing.
        report: Told of the progress.
    """

    locks: Path
    on_error: OnError = "fail"
    dry_run: bool = False
    report: Report = silent


@dataclass(frozen=True)
class Outcome:
    """What an import or update did.

    Attributes:
        did: `imported`, `updated`, `fresh` (nothing had to be read) or `unchanged` (nothing differed).
        state: The present state (with a dry run: the one that would be).
        before: The state before, where there was one.
        rejected: Bad rows that were left out.
        outside: Judgements taken on passages that the collection does not have.
        rejects: Where they are written down, or None.
    """

    did: Literal["imported", "updated", "fresh", "unchanged"]
    state: CollectionState
    before: CollectionState | None = None
    rejected: int = 0
    rejects: str | None = None
    outside: int = 0
    dry_run: bool = False

    @property
    def new_passages(self) -> int:
        """Ords given out, for new passages and for changed ones."""
        return self.state.passage_count - (self.before.passage_count if self.before else 0)

    @property
    def tombstones(self) -> int:
        """Ords that count no longer: passages that were deleted or changed."""
        before = self.before.live_passages if self.before else 0
        return before + self.new_passages - self.state.live_passages

    def figures(self) -> dict[str, Any]:
        """The outcome as `--json` prints it."""
        return {
            "did": self.did,
            "dry_run": self.dry_run,
            "collection": self.state.name,
            "version": self.state.version,
            "passages": self.state.live_passages,
            "queries": self.state.live_queries,
            "splits": {split: sum(part.rows for part in parts) for split, parts in self.state.splits.items()},
            "new_passages": self.new_passages,
            "tombstones": self.tombstones,
            "rejected": self.rejected,
            "rejects": self.rejects,
            "outside": self.outside,
            "fingerprint": self.state.fingerprint,
        }

    @property
    def note(self) -> str | None:
        """Why the state is as it was, or None where it is not."""
        what = f"collection {self.state.name}, state {self.state.version}"
        if self.did == "fresh":
            return f"fresh, skipped: {what} is of the same content, imported {self.state.created}"
        if self.did == "unchanged":
            return f"unchanged: nothing differs from {what}"
        return "dry run: nothing is kept" if self.dry_run else None


def rejects_key(name: str, version: int) -> str:
    """Store key of the bad rows that were left out on the way to a state."""
    return f"{folder(name)}/rejects/{version}.jsonl"


def now() -> str:
    """The time in UTC, to the second."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def make_state(
    store: Store, base: CollectionState, before: CollectionState | None, given: Given, how: How
) -> Outcome:
    """Apply what is given to `base` and commit the result; the caller holds the collection's lock.

    Whatever goes wrong leaves the state before; parts already written are removed.
    """
    with _tidy(store, base.name), _spool(how.on_error) as spool:
        rejects = Rejects(spool)
        reader = Reader(given, rejects, how.report)
        state = _apply(store, base, reader)
        state = state.model_copy(update={"rejected": rejects.count})
        kept = _keep_rejects(store, state, spool, how) if spool and rejects.count else None
        if before is not None and state.fingerprint == before.fingerprint:
            return Outcome(
                "unchanged", before, before, rejects.count, kept, reader.outside, dry_run=how.dry_run
            )
        if not how.dry_run:
            commit(store, state)
        did: Literal["imported", "updated"] = "updated" if before else "imported"
        return Outcome(did, state, before, rejects.count, kept, reader.outside, dry_run=how.dry_run)


def _apply(store: Store, base: CollectionState, reader: Reader) -> CollectionState:
    try:
        state = apply_passages(store, base, reader)
        state, taken = apply_queries(store, state, reader)
        return apply_qrels(store, state, reader, taken)
    except OSError as error:
        raise MsmError(
            f"collection '{base.name}' could not be written to {store.url}: {error}",
            hint="make room or mend its permissions, then again: nothing was changed",
        ) from error


@contextmanager
def _tidy(store: Store, name: str) -> Iterator[None]:
    """Removes leftovers before and after: of killed changes, of a failure, of a dry run."""
    sweep(store, name)
    try:
        yield
    finally:
        sweep(store, name)


@contextmanager
def _spool(on_error: OnError) -> Iterator[IO[bytes] | None]:
    if on_error == "fail":
        yield None
        return
    with spool() as stream:
        yield stream


def _keep_rejects(store: Store, state: CollectionState, spool: IO[bytes], how: How) -> str:
    """Write the rejects beside the collection; of a dry run, which keeps nothing there, elsewhere."""
    with spilling():
        spool.seek(0)  # writes what is not yet
    if how.dry_run:
        with spilling(), tempfile.NamedTemporaryFile(suffix="-rejects.jsonl", delete=False) as copy:
            shutil.copyfileobj(spool, copy)
        return copy.name
    key = rejects_key(state.name, state.version)
    with store.scratch(f"{folder(state.name)}/rejects") as scratch:
        with scratch.open("wb") as file:
            shutil.copyfileobj(spool, file)
        store.put_file(scratch, key)
    return store.location(key)
