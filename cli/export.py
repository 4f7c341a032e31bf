"""`msmctl export FORMAT`: one command per registered format."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import Which, asked, collection_option, json_option, negatives_options, opened, split_option
from cli.output import emit_record, emit_rows, say
from cli.progress import progress, to
from services.exports.registry import FORMATS

if TYPE_CHECKING:
    from services.exports.export import Planned


@click.group()
def export() -> None:
    """Export negatives in the field's formats.

    Every export streams, has the same bytes for the same inputs, and gets a FILE.manifest.json.

    \b
    Example:
      msmctl export hard-negatives -o negatives.jsonl.gz
    """


def _command(name: str) -> click.Command:
    """The command of a format."""
    declared = FORMATS[name]

    @click.command(
        name,
        help=f"{declared.help}\n\n\b\nExample:\n  msmctl export {name} -o {declared.example}",
        short_help=declared.help,
    )
    @click.option(
        "--output",
        "-o",
        "file",
        type=click.Path(path_type=Path),
        required=True,
        help="File; .gz or .zst: compressed.",
    )
    @collection_option
    @split_option
    @negatives_options
    @click.option("--force", is_flag=True, help="Write even if fresh, and over a file that is no export.")
    @click.option(
        "--dry-run",
        is_flag=True,
        help="Write nothing; say how many candidates each filter removes, by system.",
    )
    @json_option
    @click.pass_context
    def command(
        ctx: click.Context,
        file: Path,
        collection: str | None,
        split: str,
        which: Which,
        force: bool,
        dry_run: bool,
        as_json: bool,
    ) -> None:
        from services.exports.export import ExportRequest, empty, plan, summary, survey, write

        chosen = opened(ctx, collection)
        planned = plan(chosen, ExportRequest(declared, asked(ctx, chosen, split, which), file, force))
        _say_stale(planned)
        manifest = tally = None
        title = f"export {chosen.name}/{split}"
        if planned.fresh and not dry_run:
            say(f"fresh, skipped: {file} is of these inputs already (--force writes it again)")
        else:
            with progress(planned.queries, title, "queries") as bar:
                tell = partial(to, bar)
                if dry_run:
                    tally = survey(planned, tell)
                else:
                    manifest = write(planned, tell)
        if tally and not as_json:
            emit_rows(tally.rows(), ["step", *tally.names], as_json=False)
        else:
            emit_record(summary(planned, manifest, tally), as_json=as_json)
        if tally and not tally.negatives.any():
            raise empty(tally)

    return command


def _say_stale(planned: Planned) -> None:
    for system, stale in planned.stale.items():
        missing = f"{stale.absent:,} queries of the split are absent from its run, " if stale.absent else ""
        say(
            f"note: '{system}' was mined before the collection changed: {missing}new passages are not "
            f"among its candidates, and fewer than its depth may be left ({stale.refresh})"
        )


for _name in FORMATS:
    export.add_command(_command(_name))
