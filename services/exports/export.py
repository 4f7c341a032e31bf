"""Export the negatives of a split to one file, in the caller's process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.collections.collection import Collection
from services.errors import CheckFailed
from services.exports.format import LineFormat, QueryNegatives
from services.exports.manifest import (
    ExportInputs,
    ExportManifest,
    inputs_of,
    is_fresh,
    is_stale,
    read_manifest,
)
from services.exports.source import BLOCK, Negatives, absent_queries, choose_runs
from services.exports.writer import BlockFile, check_place, compression_of, said_clearly
from services.store.fingerprint import file_sha256


@dataclass(frozen=True)
class ExportRequest:
    """What to export.

    Attributes:
        format: The format.
        split: Split of the queries.
        file: Where to; `.gz` and `.zst` are compressed.
        systems: Names; empty: all that were mined.
        depth: Negatives per query and system; None: as deep as mined.
        force: Overwrite a file that is none of our exports, and write even if fresh.
    """

    format: LineFormat
    split: str
    file: Path
    systems: list[str]
    depth: int | None = None
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
        negatives: What will be read.
        inputs: What the bytes depend on.
        fresh: The file is there already, from the same inputs.
        stale: By name, the systems that were mined before the collection changed.
    """

    request: ExportRequest
    negatives: Negatives
    inputs: ExportInputs
    fresh: bool
    stale: dict[str, Stale]


def plan(collection: Collection, request: ExportRequest) -> Planned:
    """Find the runs and check the place.

    Raises:
        NotFound, UsageError: as `choose_runs`. InputError, Conflict: as `check_place`.
        CheckFailed: no query would be written.
    """
    runs = choose_runs(collection, request.split, request.systems, request.depth)
    check_place(request.file, force=request.force)
    inputs = inputs_of(
        request.format.name, collection, request.split, runs, compression=compression_of(request.file)
    )
    negatives = Negatives(collection, request.split, runs, all_queries=inputs.all_queries)
    if not len(negatives.qords):
        raise CheckFailed(
            f"split '{request.split}' of collection '{collection.name}' has no query with a positive",
            hint="add qrels with `msmctl collection update`, or mine with --all-queries",
        )
    fresh = not request.force and is_fresh(request.file, inputs)
    stale = {
        chosen.system.name: Stale(
            absent_queries(chosen, collection, negatives.qords), f"{chosen.command()} --refresh"
        )
        for chosen in runs
        if is_stale(chosen, collection)
    }
    return Planned(request, negatives, inputs, fresh, stale)


def write(planned: Planned, done: Callable[[int], None] = lambda queries: None) -> ExportManifest:
    """Write the file and its manifest; a killed export goes on where it stopped.

    Args:
        planned: From `plan`.
        done: Called with the number of queries written so far.

    Raises:
        InputError: the file cannot be written.
        Conflict: another process writes it.
    """
    request, negatives = planned.request, planned.negatives
    with said_clearly(request.file), BlockFile(request.file, planned.inputs.fingerprint).open() as out:
        for n in range(out.blocks, negatives.blocks):
            done(n * BLOCK)
            queries = negatives.block(n)
            out.add(request.format.encode(queries), queries=len(queries), negatives=_count(queries))
        done(len(negatives.qords))
        manifest = ExportManifest(
            file=request.file.name,
            bytes=out.partial.stat().st_size,
            sha256=file_sha256(out.partial),
            inputs=planned.inputs,
            **out.counts,
        )
        out.publish(manifest.model_dump_json(indent=1).encode() + b"\n")
    return manifest


def summary(planned: Planned, manifest: ExportManifest | None) -> dict[str, Any]:
    """What `--json` prints; sizes are None for what is not there (`--dry-run`)."""
    if planned.fresh:
        manifest = read_manifest(planned.request.file)
    return {
        "file": str(planned.request.file),
        "format": planned.request.format.name,
        "collection": planned.inputs.collection,
        "split": planned.request.split,
        "systems": list(planned.inputs.systems),
        "fresh": planned.fresh,
        "stale": list(planned.stale),
        "absent": {name: stale.absent for name, stale in planned.stale.items()},
        "queries": len(planned.negatives.qords),
        "negatives": manifest.negatives if manifest else None,
        "bytes": manifest.bytes if manifest else None,
        "sha256": manifest.sha256 if manifest else None,
    }


def _count(queries: list[QueryNegatives]) -> int:
    return sum(len(ids) for query in queries for ids in query.neg.values())
