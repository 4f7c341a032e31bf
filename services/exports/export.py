"""Export in one of the formats, in the caller's process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.collections.collection import Collection
from services.errors import CheckFailed
from services.exports.format import Format, Options, Output, Reading
from services.exports.manifest import ExportedFile, ExportInputs, ExportManifest, inputs_of, read_manifest
from services.exports.place import FilePlace, FolderPlace, Place
from services.exports.reading import Negatives
from services.exports.writer import Sink, Written, said_clearly
from services.negatives.opening import Asked
from services.negatives.tally import Tally
from services.store.fingerprint import file_sha256, fingerprint


@dataclass(frozen=True)
class ExportRequest:
    """What to export.

    Attributes:
        format: The format.
        asked: What is read for it.
        file: Where to: a file, of which `.gz` and `.zst` are compressed, or a folder, as the format has it.
        force: Overwrite what is none of our exports, and write even if fresh.
        options: Of the format; those that are not given are as it has them.
    """

    format: Format[Any]
    asked: Asked
    file: Path
    force: bool = False
    options: Options = field(default_factory=dict)


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
    """An export that can be written: what it reads is there, its place is free or ours.

    Attributes:
        reading: What will be read.
        outputs: What will be written.
        place: Where to.
        inputs: What the bytes depend on.
        fresh: It is there already, from the same inputs.
        stale: By name, the systems that were mined before the collection changed.
    """

    request: ExportRequest
    reading: Reading
    outputs: Sequence[Output]
    place: Place
    inputs: ExportInputs
    fresh: bool
    stale: dict[str, Stale]

    @property
    def queries(self) -> int:
        """How many queries are read for the first output; passages, where it has none."""
        return sum(self.outputs[0].sizes)

    @property
    def total(self) -> int:
        """What `write` counts up to: queries and passages that are read for all outputs."""
        return sum(sum(output.sizes) for output in self.outputs)


def plan(collection: Collection, request: ExportRequest) -> Planned:
    """Find what is to be read and check the place.

    Raises:
        NotFound, UsageError, CheckFailed: as the format's `reads.open`.
        InputError, Conflict: as `Place.check`.
    """
    declared = request.format
    options = {**declared.defaults, **request.options}
    reading = declared.reads.open(collection, request.asked)
    outputs = declared.outputs(reading, options)
    label = _label(declared, reading, options)
    place = place_of(declared, request.file, label)
    inputs = inputs_of(declared.name, options, reading, compression=place.compression)
    fresh = not request.force and place.is_fresh(inputs)
    if not fresh:
        place.check(outputs, inputs, force=request.force)
    return Planned(request, reading, outputs, place, inputs, fresh, _stale(reading))


def place_of(declared: Format[Any], path: Path, label: str = "") -> Place:
    """Where an export in a format goes; `label`: of this one among those in a folder."""
    return FolderPlace(path, label) if declared.folder else FilePlace(path)


def _label(declared: Format[Any], reading: Reading, options: Options) -> str:
    """Of the export among others in its folder: no name of a format has a dot."""
    chosen = [options[option.name] for option in declared.options if option.choices]
    return ".".join([declared.name, *chosen, *([reading.split] if reading.split else [])])


def _stale(reading: Reading) -> dict[str, Stale]:
    if not isinstance(reading, Negatives):
        return {}
    collection, qords = reading.collection, reading.opened.candidates.qords
    return {
        chosen.system.name: Stale(chosen.absent_queries(collection, qords), chosen.refresh_command())
        for chosen in reading.opened.runs
        if chosen.is_stale(collection)
    }


def write(planned: Planned, done: Callable[[int], None] = lambda read: None) -> ExportManifest:
    """Write the export and its manifest; a killed one goes on where it stopped.

    Args:
        planned: From `plan`.
        done: Called with how many of `planned.total` are read so far.

    Raises:
        InputError: the place cannot be written.
        Conflict: another process writes it.
        CheckFailed: nothing is left to write; then nothing is written.
    """
    place = planned.place
    with said_clearly(place.path), ExitStack() as stack:
        sinks = [
            stack.enter_context(place.sink(output, planned.inputs.fingerprint)) for output in planned.outputs
        ]
        read = 0
        for output, sink in zip(planned.outputs, sinks, strict=True):
            for n, size in enumerate(output.sizes):
                if n >= sink.blocks:
                    done(read)
                    sink.add(*output.encode(n))
                read += size
            if _is_empty(planned, sinks[0]):
                place.discard()
                raise empty(planned)
        done(planned.total)
        files = [file for sink in sinks for file in sink.finish()]
        manifest = _manifest(planned, sinks[0], files)
        place.publish(manifest, files)
    return manifest


def _is_empty(planned: Planned, first: Sink) -> bool:
    """Whether the first output, complete, holds nothing that counts."""
    return not (first.counts.negatives if isinstance(planned.reading, Negatives) else first.counts.rows)


def _manifest(planned: Planned, first: Sink, files: Sequence[Written]) -> ExportManifest:
    described = [
        ExportedFile(
            name=file.name, bytes=file.path.stat().st_size, sha256=file_sha256(file.path), rows=file.rows
        )
        for file in files
    ]
    hashes = [file.sha256 for file in described]
    return ExportManifest(
        file=planned.place.path.name,
        bytes=sum(file.bytes for file in described),
        sha256=hashes[0] if len(hashes) == 1 else fingerprint(hashes),
        **first.counts._asdict(),
        files=described,
        inputs=planned.inputs,
    )


def survey(planned: Planned, done: Callable[[int], None] = lambda read: None) -> Tally | None:
    """What each verdict, filter and cut removes, without writing anything; None where none is applied.

    Args:
        planned: From `plan`.
        done: Called with the number of queries read so far.
    """
    reading = planned.reading
    if not isinstance(reading, Negatives):
        return None
    declared = planned.request.format
    least = declared.negatives_per_row({**declared.defaults, **planned.request.options})
    tally = Tally(reading.opened.candidates.systems)
    read = 0
    for n, size in enumerate(reading.sizes):
        done(read)
        selected = reading.block(n, tally)
        tally.usable += len(selected.tuples(least)[0]) if least > 1 else len(selected.negatives)
        read += size
    done(read)
    return tally


def empty(planned: Planned, tally: Tally | None = None) -> CheckFailed:
    """The error of an export that would hold nothing: what removed the candidates, and how far they lie.

    Args:
        planned: The export.
        tally: From `survey`, where that is at hand.
    """
    tally = tally or survey(planned)
    if tally is None:
        return CheckFailed(
            f"nothing to export: {planned.inputs.collection} has nothing that "
            f"`{planned.request.format.name}` would hold",
            hint=f"`msmctl collection show {planned.inputs.collection}` shows what there is",
        )
    steps = [f"{int(gone.sum()):,} by {step}" for step, gone in tally.removed.items() if gone.any()]
    candidates, left = int(tally.candidates.sum()), int(tally.negatives.sum())
    if left:
        what = f"no query has enough of the {left:,} negatives that are left of {candidates:,} candidates"
        hint = "mine deeper, or ask for fewer negatives per row; what has no score does not count as a label"
    else:
        what = f"nothing is left of {candidates:,} candidates"
        hint = "choose filters that leave some; `msmctl negatives stats` shows what each removes"
    message = f"{what}: {'; '.join(steps or ['-'])}"
    if tally.margins.total:
        message += "\nmargins (lowest positive's ce_score - candidate's, in logits) of what verdicts leave:\n"
        message += "\n".join(tally.margins.lines())
    return CheckFailed(message, hint=hint if tally.removed else "mine deeper")


def summary(planned: Planned, manifest: ExportManifest | None, tally: Tally | None = None) -> dict[str, Any]:
    """What `--json` prints; sizes are None for what is not there (`--dry-run`)."""
    if planned.fresh:
        manifest = read_manifest(planned.place.manifest_path)
    negatives = int(tally.negatives.sum()) if tally else manifest.negatives if manifest else None
    return {
        "file": str(planned.place.path),
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
        "rows": manifest.rows if manifest else None,
        "left_out": manifest.left_out if manifest else None,
        "removed": tally.as_dict()["removed"] if tally else None,
        "files": [file.name for file in manifest.files] if manifest else None,
        "bytes": manifest.bytes if manifest else None,
        "sha256": manifest.sha256 if manifest else None,
    }
