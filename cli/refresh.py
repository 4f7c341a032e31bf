"""`msmctl refresh`: from the collection's present state to a file of negatives, in one command."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options import (
    FilePath,
    asked,
    collection_option,
    dry_run_option,
    json_option,
    marks,
    no_marks_option,
    opened,
    settings,
    split_option,
    system_option,
    timeout_option,
)
from cli.output import emit_json, emit_rows, say
from cli.progress import progress, to
from services.exports.registry import FORMATS

if TYPE_CHECKING:
    from cli.waiting import Outcome
    from services.collections.collection import Collection
    from services.exports.export import Planned
    from services.jobs.kind import Spec

_OF_NEGATIVES = [name for name, declared in FORMATS.items() if declared.reads.options == "negatives"]
Stage = Callable[[], "list[Spec]"]
"""Makes the specs of a stage, which may need what the stage before has made."""


@click.command()
@collection_option
@system_option
@split_option
@click.option("--depth", type=click.IntRange(1, 10_000), default=50, show_default=True, help="As in `mine`.")
@click.option("--ce", help="Cross-encoder that scores the candidates; without it, nothing is scored.")
@click.option("--top", type=click.IntRange(1), help="As in `score`: candidates that a system ranks so high.")
@click.option("--queries", type=click.IntRange(1), help="As in `score`: only so many queries, drawn.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the draw.")
@click.option(
    "--filter", "filters", multiple=True, metavar="NAME=VALUE[,…]", help="Of the export; may be repeated."
)
@no_marks_option
@click.option(
    "--format", "format_name", type=click.Choice(_OF_NEGATIVES), default="hard-negatives",
    show_default=True, help="Of the export.",
)  # fmt: skip
@click.option(
    "--output", "-o", "file", type=FilePath(),
    help="Where the export goes. Default: under MSM_HOME/exports.",
)  # fmt: skip
@click.option("--local", is_flag=True, help="Run in this process, without a worker.")
@timeout_option
@dry_run_option
@json_option
@click.pass_context
def refresh(
    ctx: click.Context,
    /,
    collection: str | None,
    systems: list[str],
    split: str,
    format_name: str,
    file: Path | None,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Encode, index, mine, score and export: what is not fresh, and nothing else.

    Killed or stopped anywhere, the same command goes on. A second one right after does nothing and says
    so; it is made for cron. After an update of the collection only what can have changed is done again.

    \b
    Example:
      msmctl refresh --system bm25,all-MiniLM-L6-v2 --ce ms-marco-MiniLM-L6-v2 --filter ce-margin=3
      msmctl refresh --collection squad --system bm25 -o negatives.jsonl.gz
    """
    chosen = opened(ctx, collection)
    _check(chosen, systems, format_name, file, given)
    stages = _stages(ctx, chosen, systems, split, given)
    if dry_run:
        _dry_run(ctx, stages, as_json=as_json)
        return
    place = file or _default_place(ctx, chosen, split, format_name)
    outcomes = _work(ctx, stages, local=given["local"], timeout=given["timeout"])
    planned, exported = _export(ctx, chosen, systems, split, format_name, place, given)
    _tell(outcomes, planned, exported, as_json=as_json)


def _check(
    collection: Collection, systems: Sequence[str], format_name: str, file: Path | None, given: dict[str, Any]
) -> None:
    """Notice now what the last step would notice after hours: but whose export lies there already."""
    from services.cross_encoders.models import required
    from services.cross_encoders.registry import CrossEncoders
    from services.errors import UsageError
    from services.exports.export import place_of
    from services.exports.reading import with_margin
    from services.negatives.filters.filter import CE, Sources
    from services.negatives.selection import Selection
    from services.scoring.scores import open_scores
    from services.systems.registry import Registry

    if file:
        place_of(FORMATS[format_name], file).require_writable()
    declared = FORMATS[format_name]
    selection = Selection.parse(with_margin(declared, given["filters"]))
    if given["ce"]:
        ce = CrossEncoders.load(collection.store).get(given["ce"])
        required(collection.store, ce)
        registry = Registry.load(collection.store)
        read = tuple(one for one in registry if one.name in {registry.get(name).name for name in systems})
        selection.prepared(Sources(read, registry, ce.name, ce.margin, collection.name))
        return
    for option in ("top", "queries", "seed"):
        if given[option]:
            raise UsageError(
                f"--{option} says what is scored, and no cross-encoder is named",
                hint="add --ce NAME; `msmctl ce ls` shows what there is",
            )
    if declared.reads.needs_scores or CE in selection.needs:
        open_scores(collection, None)


def _stages(
    ctx: click.Context, collection: Collection, systems: Sequence[str], split: str, given: dict[str, Any]
) -> list[Stage]:
    """Index (which encodes), mine, score."""
    from services.jobs.kinds.index import IndexSpec
    from services.jobs.kinds.mine import MineSpec
    from services.jobs.kinds.score import ScoreSpec

    def index() -> list[Spec]:
        return [IndexSpec.of(collection, systems)]

    def mine() -> list[Spec]:
        depth = given["depth"]
        return [
            *MineSpec.of_each(collection, systems, split=split, engine="exact", depth=depth, refresh=True)
        ]

    def score() -> list[Spec]:
        drawn = {"queries": given["queries"], "seed": given["seed"] if given["queries"] else 0}
        people = marks(ctx, collection, no_marks=given["no_marks"])
        return [
            ScoreSpec.of(collection, given["ce"], systems, people, split=split, top=given["top"], **drawn)
        ]

    return [index, mine, *([score] if given["ce"] else [])]


def _work(
    ctx: click.Context, stages: Sequence[Stage], *, local: bool, timeout: float | None
) -> list[Outcome]:
    """Run the stages one after the other; each leaves out what is fresh."""
    from cli.waiting import run_specs

    deadline = None if timeout is None else time.monotonic() + timeout
    outcomes: list[Outcome] = []
    for stage in stages:
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        outcomes += run_specs(ctx, stage(), local=local, timeout=left, quiet=True)
    return outcomes


def _dry_run(ctx: click.Context, stages: Sequence[Stage], *, as_json: bool) -> None:
    """What would be done, as far as it can be known before the stages in front are done."""
    from cli.waiting import run_specs
    from services.errors import NotFound

    specs: list[Spec] = []
    for stage in stages:
        try:
            specs += stage()
        except NotFound as error:
            say(f"to be planned when what it needs is there: {error.message}")
    run_specs(ctx, specs, dry_run=True, as_json=as_json)


def _default_place(ctx: click.Context, collection: Collection, split: str, format_name: str) -> Path:
    """Where an export lies that was given no place; what cannot be written to is known at once."""
    from services.errors import InputError
    from services.exports.export import place_of

    folder, declared = settings(ctx).home / "exports" / collection.name / split, FORMATS[format_name]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be made: {error.strerror}", hint="name another place: -o"
        ) from None
    place = folder if declared.folder else folder / declared.example
    place_of(declared, place).require_writable()
    return place


def _export(
    ctx: click.Context,
    collection: Collection,
    systems: Sequence[str],
    split: str,
    format_name: str,
    place: Path,
    given: dict[str, Any],
) -> tuple[Planned, dict[str, Any]]:
    from services.exports.export import ExportRequest, plan, summary, write

    which = asked(ctx, collection, split, {
        "systems": list(systems), "depth": given["depth"], "filters": given["filters"],
        "ce": given["ce"], "relabel": None, "sample": None, "num": None, "seed": 0,
        "no_marks": given["no_marks"],
    })  # fmt: skip
    planned = plan(collection, ExportRequest(FORMATS[format_name], which, place))
    manifest = None
    if planned.fresh:
        say(f"fresh, skipped: export {format_name}: {place} is of these inputs already")
    else:
        with progress(planned.total, f"export {format_name}") as bar:
            manifest = write(planned, partial(to, bar))
    return planned, summary(planned, manifest)


def _tell(outcomes: Sequence[Outcome], planned: Planned, exported: dict[str, Any], *, as_json: bool) -> None:
    done = sum(outcome.fresh is None for outcome in outcomes) + (not planned.fresh)
    if not done:
        say("nothing to do: everything is fresh")
    if as_json:
        emit_json({"done": done, "steps": [one.as_dict() for one in outcomes], "export": exported})
        return
    rows = [{"step": one.title, "state": one.state, "job": one.job or ""} for one in outcomes]
    state = "fresh" if planned.fresh else "succeeded"
    rows.append({"step": f"export {exported['format']} to {exported['file']}", "state": state, "job": ""})
    emit_rows(rows, ["step", "state", "job"], as_json=False)
