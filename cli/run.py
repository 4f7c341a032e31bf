"""`msmctl run`: the runs of a collection, mined or imported."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cli.import_ import on_error_option, tell_rejects
from cli.options import FilePath, collection_option, dry_run_option, json_option, opened
from cli.output import emit_record, emit_rows, say
from cli.progress import progress

_split = click.option("--split", default="test", show_default=True, help="Split of the queries.")


@click.group()
def run() -> None:
    """Runs: what a system returned for the queries of a split, mined here or imported.

    \b
    Example:
      msmctl run import tas-b.trec --collection dl19 --split test --system tas-b-published
      msmctl run ls --collection dl19
    """


@run.command("import")
@click.argument("file", type=FilePath())
@click.option("--system", required=True, help="Name for the system that the run is of.")
@collection_option
@_split
@on_error_option
@click.option("--replace", is_flag=True, help="Take the place of the run that the system has there.")
@dry_run_option
@json_option
@click.pass_context
def import_(
    ctx: click.Context,
    file: Path,
    system: str,
    collection: str | None,
    split: str,
    on_error: Any,
    replace: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make a run file the run of a system.

    Reads TREC runs (qid Q0 pid rank score tag), MS MARCO runs (qid pid rank) and top1000 files (qid, pid,
    query and passage between tabs), plain, gz or zst. Evaluate, score, export and negatives take the system
    by its name; it cannot be mined or indexed.

    \b
    Example:
      msmctl run import tas-b.trec --collection dl19 --split test --system tas-b-published
    """
    from services.imports.runs import RunRequest, import_run

    request = RunRequest(file, system, split, on_error, replace, dry_run)
    with progress(None, f"import {file.name}", "lines") as bar:
        outcome = import_run(
            opened(ctx, collection), request, lambda lines, share: bar.advance(lines, fraction=share)
        )
    if outcome.fresh:
        say(f"fresh, skipped: this is the run of '{outcome.system}' already")
    elif dry_run:
        say("dry run: nothing is kept")
    tell_rejects(outcome.rejected if outcome.rejects else 0, outcome.rejects)
    emit_record(outcome.as_dict(), as_json=as_json)


@run.command()
@collection_option
@json_option
@click.pass_context
def ls(ctx: click.Context, collection: str | None, as_json: bool) -> None:
    """List the runs of a collection.

    \b
    Example:
      msmctl run ls --collection dl19
    """
    from services.mining.run_list import list_runs

    columns = ["split", "system", "engine", "depth", "queries", "candidates", "version", "stale"]
    emit_rows(list_runs(opened(ctx, collection)), columns, as_json=as_json)


@run.command()
@click.argument("system")
@collection_option
@_split
@json_option
@click.pass_context
def show(ctx: click.Context, system: str, collection: str | None, split: str, as_json: bool) -> None:
    """Show one run and what it was made from.

    \b
    Example:
      msmctl run show tas-b-published --collection dl19 --split test
    """
    from services.mining.run_list import describe

    emit_record(describe(opened(ctx, collection), split, system), as_json=as_json)


@run.command()
@click.argument("system")
@collection_option
@_split
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def rm(ctx: click.Context, system: str, collection: str | None, split: str, yes: bool, as_json: bool) -> None:
    """Remove a run; an imported system without another run is forgotten.

    \b
    Example:
      msmctl run rm tas-b-published --collection dl19 --split test --yes
    """
    from services.errors import UsageError
    from services.mining.run_list import find, remove

    chosen = opened(ctx, collection)
    _, found = find(chosen, split, system)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"removing the run of '{found.name}' needs --yes", hint="add --yes")
        click.confirm(f"Remove the run of '{found.name}' on split '{split}'?", abort=True, err=True)
    emit_record(remove(chosen, split, found.name), as_json=as_json)
