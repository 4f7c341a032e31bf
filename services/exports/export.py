"""Export the negatives of a split, in the caller's process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.collections.collection import Collection
from services.errors import CheckFailed
from services.exports.format import Format, Lookup, Selected
from services.exports.manifest import ExportInputs, ExportManifest, inputs_of, is_fresh, read_manifest
from services.exports.writer import check_place, compression_of, said_clearly
from services.negatives.opening import Asked, Opened, open_negatives
from services.negatives.tally import Tally
from services.store.fingerprint import file_sha256


@dataclass(frozen=True)
class ExportRequest:
    """What to export.

    Attributes:
        format: The format.
        asked: Which negatives.
        file: Where to; `.gz` and `.zst` are compressed.
        force: Overwrite a file that is none of our exports, and write even if fresh.
    """

    format: Format[Any]
    asked: Asked
    file: Path
    force: bool = False


@dataclass(frozen=True)
class Stale:
    """What a run lacks that was mined before the collection changed.

    Attributes:
        absent: How many of the export's queries it does not have.
        refresh: The command that brings it up to date.
    """

    absent: int
    refresh: str


@dataclass(frozen=True)
class Planned:
    """An export that can be written: its runs are there, its place is free or ours.

    Attributes:
        opened: What will be read.
        inputs: What the bytes depend on.
        fresh: The file is there already, from the same inputs.
        stale: By name, the systems that were mined before the collection changed.
    """

    request: ExportRequest
    opened: Opened
    inputs: ExportInputs
    fresh: bool
    stale: dict[str, Stale]

    @property
    def queries(self) -> int:
        """How many queries are read."""
        return len(self.opened.candidates.qords)

    def block(self, n: int, tally: Tally | None = None) -> Selected:
        """The negatives of block `n`."""
        block, selection = self.opened.candidates.block(n), self.opened.selection
        return Selected(block, selection.keep(block, tally), selection)


def plan(collection: Collection, request: ExportRequest) -> Planned:
    """Find the runs and check the place.

    Raises:
        NotFound, UsageError, CheckFailed: as `open_negatives`. InputError, Conflict: as `check_place`.
    """
    opened = open_negatives(collection, request.asked, judge=request.format.scores)
    check_place(request.file, force=request.force)
    inputs = inputs_of(request.format.name, opened, compression=compression_of(request.file))
    fresh = not request.force and is_fresh(request.file, inputs)
    qords = opened.candidates.qords
    stale = {
        chosen.system.name: Stale(chosen.absent_queries(collection, qords), chosen.refresh_command())
        for chosen in opened.runs
        if chosen.is_stale(collection)
    }
    return Planned(request, opened, inputs, fresh, stale)


def write(planned: Planned, done: Callable[[int], None] = lambda queries: None) -> ExportManifest:
    """Write the file and its manifest; a killed export goes on where it stopped.

    Args:
        planned: From `plan`.
        done: Called with the number of queries written so far.

    Raises:
        InputError: the file cannot be written.
        Conflict: another process writes it.
        CheckFailed: nothing is left to write; there is no file then.
    """
    request, candidates = planned.request, planned.opened.candidates
    lookup = Lookup(candidates.collection)
    with (
        said_clearly(request.file),
        request.format.sink(request.file, planned.inputs.fingerprint).open() as out,
    ):
        written = sum(len(candidates.queries_of(n)) for n in range(out.blocks))
        for n in range(out.blocks, candidates.blocks):
            done(written)
            selected = planned.block(n)
            encoded = request.format.encode(selected, lookup)
            out.add(encoded.content, **encoded.counts)
            written += len(selected.block.qids)
        done(planned.queries)
        if not any(count for name, count in out.counts.items() if name != "queries"):
            out.discard()
            raise empty(survey(planned))
        manifest = ExportManifest(
            file=request.file.name,
            bytes=out.partial.stat().st_size,
            sha256=file_sha256(out.partial),
            inputs=planned.inputs,
            **out.counts,
        )
        out.publish(manifest.model_dump_json(indent=1).encode() + b"\n")
    return manifest


def survey(planned: Planned, done: Callable[[int], None] = lambda queries: None) -> Tally:
    """What each verdict, filter and cut removes, without writing anything.

    Args:
        planned: From `plan`.
        done: Called with the number of queries read so far.
    """
    tally = Tally(planned.opened.candidates.systems)
    read = 0
    for n in range(planned.opened.candidates.blocks):
        done(read)
        read += len(planned.block(n, tally).block.qids)
    done(planned.queries)
    return tally


def empty(tally: Tally) -> CheckFailed:
    """The error of an export that would hold nothing: what removed the candidates, and how far they lie."""
    steps = [f"{int(gone.sum()):,} by {step}" for step, gone in tally.removed.items() if gone.any()]
    message = f"nothing is left of {int(tally.candidates.sum()):,} candidates: " + "; ".join(steps or ["-"])
    margins = tally.margins
    if margins.total:
        message += "\nmargins (lowest positive's ce_score - candidate's, in logits) of what verdicts leave:\n"
        message += "\n".join(margins.lines())
    return CheckFailed(
        message,
        hint="choose filters that leave some; `msmctl negatives stats` shows what each removes"
        if tally.removed
        else "mine deeper",
    )


def summary(planned: Planned, manifest: ExportManifest | None, tally: Tally | None = None) -> dict[str, Any]:
    """What `--json` prints; sizes are None for what is not there (`--dry-run`)."""
    if planned.fresh:
        manifest = read_manifest(planned.request.file)
    negatives = int(tally.negatives.sum()) if tally else manifest.negatives if manifest else None
    return {
        "file": str(planned.request.file),
        "format": planned.request.format.name,
        "collection": planned.inputs.collection,
        "split": planned.inputs.split,
        "systems": list(planned.inputs.systems),
        "filters": planned.inputs.filters,
        "ce": planned.inputs.ce["name"] if planned.inputs.ce else None,
        "fresh": planned.fresh,
        "stale": list(planned.stale),
        "absent": {name: stale.absent for name, stale in planned.stale.items()},
        "queries": planned.queries,
        "negatives": negatives,
        "removed": tally.as_dict()["removed"] if tally else None,
        "bytes": manifest.bytes if manifest else None,
        "sha256": manifest.sha256 if manifest else None,
    }
