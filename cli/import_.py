"""`msmctl import FORMAT`: scores and negatives that others made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.options import FilePath, collection_option, dry_run_option, json_option, opened, split_option
from cli.output import emit_record, say
from cli.progress import progress
from services.imports.registry import SCORES

on_error_option = click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="Unknown ids and bad rows: stop at the first, or leave them out and write them down.",
)


@click.group("import")
def import_() -> None:
    """Import scores and negatives that others made.

    Runs are imported with `msmctl run import`, passages and queries with `msmctl collection import`.

    \b
    Example:
      msmctl import scores-pickle scores.pkl.gz --collection squad --name imported-ce
    """


def _scores_command(name: str) -> click.Command:
    """The command of a format of scores."""
    declared = SCORES[name]

    @click.command(
        name,
        help=f"{declared.help}\n\nThe scores become those of a cross-encoder of that --name: filters and "
        f"exports take them with `--ce NAME`.\n\n\b\nExample:\n  msmctl import {name} {declared.example} "
        "--collection squad --name imported-ce",
        short_help=declared.help,
    )
    @click.argument("file", type=FilePath())
    @collection_option
    @click.option("--name", required=True, help="Name under which --ce finds the scores.")
    @on_error_option
    @click.option("--replace", is_flag=True, help="Take the place of what was imported under that name.")
    @dry_run_option
    @json_option
    @click.pass_context
    def command(
        ctx: click.Context,
        file: Path,
        collection: str | None,
        name: str,
        on_error: Any,
        replace: bool,
        dry_run: bool,
        as_json: bool,
    ) -> None:
        from services.imports.scores import ScoresRequest, import_scores

        request = ScoresRequest(declared, file, name, on_error, replace, dry_run)
        with progress(None, f"import {file.name}", "pairs") as bar:
            outcome = import_scores(
                opened(ctx, collection), request, lambda pairs, share: bar.advance(pairs, fraction=share)
            )
        if outcome.fresh:
            say(f"fresh, skipped: these are the scores by '{name}' already")
        elif dry_run:
            say("dry run: nothing is kept")
        tell_rejects(outcome.rejected, outcome.rejects)
        emit_record(outcome.as_dict(), as_json=as_json)

    return command


def tell_rejects(rejected: int, rejects: str | None) -> None:
    """Say what was left out and where it is written down."""
    if rejected:
        say(f"{rejected:,} entries left out, written to {rejects}")


for _name in SCORES:
    import_.add_command(_scores_command(_name))


@import_.command("hard-negatives")
@click.argument("file", type=FilePath())
@collection_option
@split_option
@on_error_option
@click.option("--replace", is_flag=True, help="Take the place of the runs that the systems have there.")
@dry_run_option
@json_option
@click.pass_context
def hard_negatives(
    ctx: click.Context,
    file: Path,
    collection: str | None,
    split: str,
    on_error: Any,
    replace: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """JSON lines {"qid": …, "pos": […], "neg": {"bm25": […], …}}: each list becomes its system's run.

    \b
    Example:
      msmctl import hard-negatives negatives.jsonl.gz --collection squad --split train
    """
    from services.imports.hard_negatives import NegativesRequest, import_negatives

    request = NegativesRequest(file, split, on_error, replace, dry_run)
    with progress(None, f"import {file.name}", "queries") as bar:
        outcome = import_negatives(
            opened(ctx, collection), request, lambda queries, share: bar.advance(queries, fraction=share)
        )
    if outcome.fresh:
        say("fresh, skipped: the runs of its systems are of this file already")
    elif dry_run:
        say("dry run: nothing is kept")
    if outcome.other_positives:
        say(f"note: {outcome.other_positives:,} ids in `pos` are no positives of split '{split}'")
    for name in outcome.left_out:
        say(f"note: system '{name}' is left out: the collection has none of its passages")
    tell_rejects(outcome.rejected, outcome.rejects)
    emit_record(outcome.as_dict(), as_json=as_json)
