"""`msmctl negatives`: look at candidates and their verdicts, and mark them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options import (
    FilePath,
    Which,
    asked,
    collection_option,
    json_option,
    negatives_options,
    opened,
    settings,
    split_option,
)
from cli.output import emit_json, emit_record, emit_rows, say
from cli.progress import progress, to

if TYPE_CHECKING:
    from services.collections.collection import Collection
    from services.negatives.marks_store import MarksStore
    from services.negatives.opening import Asked, Opened
    from services.negatives.stats import Stats

_TEXT = 120  # characters of a passage in a table
_MARK_COLUMNS = ("qid", "pid", "verdict", "reason", "by", "@timestamp")


@click.group()
def negatives() -> None:
    """Look at candidates, their verdicts and why; mark them.

    \b
    Examples:
      msmctl negatives show 571018
      msmctl negatives stats --filter ce-margin=3 --plot margins.png
      msmctl negatives mark 571018 7349777 --verdict keep --reason "about another treaty"
    """


@negatives.command()
@click.argument("qid")
@collection_option
@click.option("--split", help="Split of the query. Default: one that has it.")
@negatives_options
@json_option
@click.pass_context
def show(
    ctx: click.Context, qid: str, collection: str | None, split: str | None, which: Which, as_json: bool
) -> None:
    """Show a query's candidates: systems and ranks, scores, verdict and why.

    \b
    Examples:
      msmctl negatives show 571018
      msmctl negatives show 571018 --filter ce-margin=3 --filter max-per-system=5 --json
    """
    from services.negatives.show import find_split
    from services.negatives.show import show as shown

    chosen = opened(ctx, collection)
    wanted = asked(ctx, chosen, split or find_split(chosen, qid), which)
    found = shown(_opened(chosen, wanted), qid)
    if as_json:
        emit_json(found)
        return
    say(f"{found['qid']}: {found['query']}")
    for positive in found["positives"]:
        label = "positive" if positive["labelled"] else "relabelled"
        scored = "" if positive["ce_score"] is None else f" ({positive['ce_score']:.2f})"
        say(f"{label} {positive['pid']}{scored}: {_short(positive['text'])}")
    emit_rows([_row(candidate) for candidate in found["candidates"]], _COLUMNS, as_json=False)


def _opened(collection: Collection, wanted: Asked) -> Opened:
    """What was asked for, with scores where it is clear whose."""
    from services.negatives.opening import open_negatives

    found = open_negatives(collection, wanted, judge="clear")
    if found.unread:
        say(f"several cross-encoders have scores, none are shown: --ce {' or --ce '.join(found.unread)}")
    return found


_COLUMNS = ("pid", "ranks", "scores", "ce_score", "margin", "verdict", "reason", "negative", "text")


def _row(candidate: dict[str, Any]) -> dict[str, Any]:
    systems = candidate["systems"]
    return candidate | {
        "ranks": ", ".join(f"{name} {one['rank']}" for name, one in systems.items()),
        "scores": ", ".join(f"{one['score']:.4g}" for one in systems.values()),
        "negative": _negative(systems),
        "text": _short(candidate["text"]),
    }


def _negative(systems: dict[str, Any]) -> str:
    """`yes`, or the step that left it out; of each system where they differ."""
    said = {name: "yes" if one["negative"] else one["left_out_by"] for name, one in systems.items()}
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{name}: {what}" for name, what in said.items())


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _TEXT else f"{flat[: _TEXT - 1]}…"


@negatives.command()
@collection_option
@split_option
@negatives_options
@click.option("--plot", "picture", type=FilePath(dir_okay=False), help="A .png or .svg file.")
@json_option
@click.pass_context
def stats(
    ctx: click.Context, collection: str | None, split: str, which: Which, picture: Path | None, as_json: bool
) -> None:
    """Show what verdicts and filters leave of each system, margins, scores and overlap.

    \b
    Examples:
      msmctl negatives stats
      msmctl negatives stats --filter ce-margin=3 --filter max-per-system=5 --plot margins.png
    """
    from services.negatives.plots import check_place, plot
    from services.negatives.stats import as_dict, collect

    if picture:
        check_place(picture)
    chosen = opened(ctx, collection)
    found = _opened(chosen, asked(ctx, chosen, split, which))
    with progress(len(found.candidates.qords), f"{chosen.name}/{split}", "queries") as bar:
        counted = collect(found, partial(to, bar))
    if picture:
        plot(counted, picture, title=f"{chosen.name}/{split}", margin=found.candidates.rules.margin)
        say(f"drawn: {picture}")
    if as_json:
        emit_json(as_dict(found, counted))
    else:
        _tables(counted)


def _tables(counted: Stats) -> None:
    names = counted.names
    emit_rows(counted.rows(), ["step", *names], as_json=False)
    click.echo("\nnegatives that both systems have")
    overlap = zip(names, counted.overlap.tolist(), strict=True)
    emit_rows(
        [{"system": name, **dict(zip(names, row, strict=True))} for name, row in overlap],
        ["system", *names],
        as_json=False,
    )
    if counted.margins.total:
        click.echo("\nmargins of what verdicts leave, from … on")
        emit_rows(counted.margin_rows(), ["margin", *names], as_json=False)
    for name, histogram in zip(names, counted.scores, strict=True):
        if histogram.total:
            click.echo(f"\nscores of what verdicts leave of {name}, from … on")
            click.echo("\n".join(histogram.lines(10)))
    if not counted.margins.total:
        say("no margins: nothing is scored (`msmctl score`)")


@negatives.command()
@json_option
def filters(as_json: bool) -> None:
    """Explain the filters that --filter takes.

    \b
    Example:
      msmctl negatives filters
    """
    from services.negatives.filters.registry import FILTERS, help_of

    if as_json:
        emit_json(
            [{"name": one.name, "help": help_of(one), "example": one.example} for one in FILTERS.values()]
        )
    else:
        click.echo("\n\n".join(map(help_of, FILTERS.values())))


@negatives.command()
@click.argument("qid")
@click.argument("pid")
@collection_option
@click.option(
    "--verdict", required=True, help="keep, positive, likely_positive, too_easy, … (docs/negatives.md)."
)
@click.option("--reason", required=True, help="Why, in your words.")
@json_option
@click.pass_context
def mark(
    ctx: click.Context, qid: str, pid: str, collection: str | None, verdict: str, reason: str, as_json: bool
) -> None:
    """Say what a passage is as an answer to a query; counts for more than every other verdict.

    \b
    Examples:
      msmctl negatives mark 571018 7349777 --verdict positive --reason "answers the question"
      msmctl negatives mark 571018 6434553 --verdict keep --reason "about another treaty"
    """
    from services.negatives.marks_store import parse_verdict

    code = parse_verdict(verdict)
    emit_record(_marks(ctx).mark(opened(ctx, collection), qid, pid, code, reason), as_json=as_json)


@negatives.command()
@click.argument("qid")
@click.argument("pid")
@collection_option
@click.option("--reason", default="", help="Why, in your words.")
@json_option
@click.pass_context
def unmark(
    ctx: click.Context, qid: str, pid: str, collection: str | None, reason: str, as_json: bool
) -> None:
    """Take a mark back; its history stays.

    \b
    Example:
      msmctl negatives unmark 571018 7349777
    """
    emit_record(_marks(ctx).unmark(opened(ctx, collection), qid, pid, reason), as_json=as_json)


@negatives.group()
def marks() -> None:
    """What people marked.

    \b
    Example:
      msmctl negatives marks ls
    """


@marks.command("ls")
@collection_option
@click.option("--history", is_flag=True, help="Also marks that were taken back.")
@json_option
@click.pass_context
def list_marks(ctx: click.Context, collection: str | None, history: bool, as_json: bool) -> None:
    """List the marks of a collection.

    \b
    Examples:
      msmctl negatives marks ls
      msmctl negatives marks ls --history --json
    """
    found = list(_marks(ctx).all(opened(ctx, collection).name, history=history))
    emit_rows(found, _MARK_COLUMNS, as_json=as_json)


def _marks(ctx: click.Context) -> MarksStore:
    from services.elastic.client import connect
    from services.negatives.marks_store import MarksStore

    present = settings(ctx)
    return MarksStore(connect(present), present)
