"""`msmctl export FORMAT`: one command per registered format."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options import (
    FilePath,
    asked,
    collection_option,
    json_option,
    negatives_options,
    opened,
    split_option,
)
from cli.output import emit_record, emit_rows, say
from cli.progress import progress, to
from services.exports.registry import FORMATS

if TYPE_CHECKING:
    from services.collections.collection import Collection
    from services.exports.export import Planned
    from services.exports.format import Format, Option
    from services.negatives.opening import Asked


@click.group()
def export() -> None:
    """Export negatives, scores, runs and collections in the field's formats.

    Every export streams, has the same bytes for the same inputs, and gets a manifest beside it.

    \b
    Examples:
      msmctl export hard-negatives -o negatives.jsonl.gz
      msmctl export triplet-hard --filter ce-margin=3 -o out
    """


def _command(name: str) -> click.Command:
    """The command of a format."""
    declared = FORMATS[name]

    def run(
        ctx: click.Context,
        /,
        file: Path,
        collection: str | None,
        force: bool,
        dry_run: bool,
        as_json: bool,
        **given: Any,
    ) -> None:
        from services.exports.export import ExportRequest, empty, plan, summary, survey, write

        chosen = opened(ctx, collection)
        options = {option.name: given[_variable(option)] for option in declared.options}
        planned = plan(chosen, ExportRequest(declared, _asked(ctx, chosen, given), file, force, options))
        _say_stale(planned)
        manifest = tally = None
        if planned.fresh and not dry_run:
            say(f"fresh, skipped: {file} is of these inputs already (--force writes it again)")
        else:
            with progress(planned.queries if dry_run else planned.total, f"export {name}") as bar:
                if dry_run:
                    tally = survey(planned, partial(to, bar))
                else:
                    manifest = write(planned, partial(to, bar))
        if tally and not as_json:
            emit_rows(tally.rows(), ["step", *tally.names], as_json=False)
        else:
            emit_record(summary(planned, manifest, tally), as_json=as_json)
        if tally and not tally.usable:
            raise empty(planned, tally)

    function: Callable[..., None] = click.pass_context(run)
    options = map(_option, declared.options)
    for add in reversed([*_place(declared), *_READ[declared.reads.options], *options, *_HOW]):
        function = add(function)
    text = f"{declared.help}\n\n\b\nExample:\n  msmctl export {name} -o {declared.example}"
    return click.command(name, help=text, short_help=declared.help)(function)


_ce = click.option("--ce", help="Cross-encoder whose scores are meant. Default: the only one there is.")
_system = click.option("--system", help="System whose run is meant. Default: the only one that was mined.")
_depth = click.option("--depth", type=click.IntRange(1), help="Ranks per query. Default: as mined.")
_READ: dict[str, list[Callable[..., Any]]] = {
    "negatives": [split_option, negatives_options],
    "scores": [_ce],
    "run": [_system, split_option, _depth],
    "split": [split_option],
    "collection": [],
}
_HOW: list[Callable[..., Any]] = [
    click.option("--force", is_flag=True, help="Write even if fresh, and over what is no export."),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Write no file; say how many candidates each filter removes, by system.",
    ),
    json_option,
]


def _place(declared: Format[Any]) -> list[Callable[..., Any]]:
    what = "Folder, which other exports may share." if declared.folder else "File; .gz or .zst: compressed."
    return [
        click.option("--output", "-o", "file", type=FilePath(), required=True, help=what),
        collection_option,
    ]


def _option(option: Option) -> Callable[..., Any]:
    kind = click.Choice(option.choices) if option.choices else click.IntRange(1)
    return click.option(
        f"--{option.name}", _variable(option), type=kind, default=option.default, show_default=True,
        help=option.help,
    )  # fmt: skip


def _variable(option: Option) -> str:
    return option.name.replace("-", "_")


def _asked(ctx: click.Context, collection: Collection, given: dict[str, Any]) -> Asked:
    """What the options say that is to be read."""
    from services.negatives.opening import Asked

    if "which" in given:
        return asked(ctx, collection, given["split"], given["which"])
    system = given.get("system")
    return Asked(
        given.get("split", ""),
        systems=[system] if system else [],
        depth=given.get("depth"),
        ce=given.get("ce"),
    )


def _say_stale(planned: Planned) -> None:
    for system, stale in planned.stale.items():
        missing = f"{stale.absent:,} queries of the split are absent from its run, " if stale.absent else ""
        say(
            f"note: '{system}' was mined before the collection changed: {missing}new passages are not "
            f"among its candidates, and fewer than its depth may be left ({stale.refresh})"
        )


for _name in FORMATS:
    export.add_command(_command(_name))
