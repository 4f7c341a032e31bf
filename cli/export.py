"""`msmctl export FORMAT`: one command per registered format."""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import (
    CommaList,
    collection_option,
    dry_run_option,
    flat,
    json_option,
    opened,
    split_option,
)
from cli.output import emit_record, say
from cli.progress import progress
from services.exports.registry import FORMATS


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
    @click.option(
        "--system",
        "systems",
        multiple=True,
        type=CommaList(),
        callback=flat,
        help="System; repeat, or join by commas. Default: all that were mined.",
    )
    @click.option(
        "--depth", type=click.IntRange(1), help="Negatives per query and system. Default: as mined."
    )
    @click.option("--force", is_flag=True, help="Write even if fresh, and over a file that is no export.")
    @dry_run_option
    @json_option
    @click.pass_context
    def command(
        ctx: click.Context,
        file: Path,
        collection: str | None,
        split: str,
        systems: list[str],
        depth: int | None,
        force: bool,
        dry_run: bool,
        as_json: bool,
    ) -> None:
        from services.exports.export import ExportRequest, plan, summary, write

        chosen = opened(ctx, collection)
        planned = plan(chosen, ExportRequest(declared, split, file, systems, depth, force))
        for system, stale in planned.stale.items():
            missing = (
                f"{stale.absent:,} queries of the split are absent from its run, " if stale.absent else ""
            )
            say(
                f"note: '{system}' was mined before the collection changed: {missing}new passages are not "
                f"among its candidates, and fewer than its depth may be left ({stale.refresh})"
            )
        manifest = None
        if planned.fresh:
            say(f"fresh, skipped: {file} is of these runs and this state already (--force writes it again)")
        elif not dry_run:
            with progress(len(planned.negatives.qords), f"export {chosen.name}/{split}", "queries") as bar:
                manifest = write(planned, lambda done: bar.advance(done - bar.done))
        emit_record(summary(planned, manifest), as_json=as_json)

    return command


for _name in FORMATS:
    export.add_command(_command(_name))
