"""`msmctl tune`: how a collection is searched best, measured on its own queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.options import collection_option, json_option, opened, settings
from cli.output import emit_json, emit_record, emit_rows, say
from cli.progress import progress

if TYPE_CHECKING:
    from services.collections.collection import Collection
    from services.tuning.hybrid import Asked, LabelKind, Tuned


@click.group()
def tune() -> None:
    """Choose how a collection is searched, by its own queries (docs/fusion.md).

    \b
    Example:
      msmctl tune hybrid --collection squad --split train
    """


@tune.command()
@collection_option
@click.option("--split", default="train", show_default=True, help="Split whose queries decide.")
@click.option("--measure", default="nDCG@10", show_default=True, help="As ir_measures spells it.")
@click.option("--labels", type=click.Choice(["qrels", "ce"]), default="qrels", show_default=True,
              help="Relevance: judgements, or stored scores of a cross-encoder.")  # fmt: skip
@click.option(
    "--ce", metavar="NAME", help="Whose scores, with --labels ce. Default: the only ones there are."
)
@click.option("--save", is_flag=True, help="Keep the choice: searches that ask for nothing else have it.")
@click.option("--dry-run", is_flag=True, help="Say what would be compared; ask nothing, save nothing.")
@json_option
@click.pass_context
def hybrid(
    ctx: click.Context, collection: str | None, split: str, measure: str, labels: LabelKind, ce: str | None,
    save: bool, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Compare every leg alone with every way to fuse them, and say what the collection is served best by.

    Hybrid is recommended only where it is significantly better than the better leg.

    \b
    Examples:
      msmctl tune hybrid --collection squad --split train --save
      msmctl tune hybrid --collection squad --labels ce --json
    """
    from services.evaluation.measures import parse_measure
    from services.tuning.hybrid import Asked

    if ce and labels != "ce":
        raise click.UsageError("--ce says whose scores --labels ce reads")
    chosen = opened(ctx, collection)
    asked = Asked(chosen, split, parse_measure(measure, chosen.state.min_rel), labels, ce)
    if dry_run:
        _print_plan(asked, as_json)
        return
    tuned = _tuned(ctx, asked)
    if save:
        from services.search import choice

        choice.save(chosen.store, chosen.name, tuned.choice())
    if as_json:
        emit_json(tuned.as_dict(saved=save))
    else:
        _print(tuned, saved=save)


@tune.command()
@collection_option
@json_option
@click.pass_context
def show(ctx: click.Context, collection: str | None, as_json: bool) -> None:
    """Show what is saved for a collection.

    \b
    Example:
      msmctl tune show --collection squad
    """
    from services.errors import NotFound
    from services.search import choice

    chosen = opened(ctx, collection)
    found = choice.load(chosen.store, chosen.name)
    if found is None:
        raise NotFound(
            f"nothing is saved for collection '{chosen.name}'",
            hint=f"`msmctl tune hybrid --collection {chosen.name} --save` chooses",
        )
    emit_record({"collection": chosen.name} | found.model_dump(mode="json"), as_json=as_json)


@tune.command()
@collection_option
@json_option
@click.pass_context
def forget(ctx: click.Context, collection: str | None, as_json: bool) -> None:
    """Forget what is saved for a collection: it is searched by the default again.

    \b
    Example:
      msmctl tune forget --collection squad
    """
    from services.search import choice

    chosen = opened(ctx, collection)
    there = choice.forget(chosen.store, chosen.name)
    emit_record({"collection": chosen.name, "forgotten": there}, as_json=as_json)


def _tuned(ctx: click.Context, asked: Asked) -> Tuned:
    from services.jobs.context import context_for
    from services.tuning.hybrid import count, tune
    from services.tuning.tables import tables

    qords = _qords(asked)
    name = asked.collection.name
    context = context_for(settings(ctx))
    with progress(len(qords), f"search {name}/{asked.split}", "queries") as bar:
        found = tables(context, asked.collection, qords, bar.advance)
    with progress(count(len(found[0].legs)), f"tune {name}/{asked.split}", "arms") as bar:
        return tune(asked, qords.tolist(), found, bar.advance)


def _qords(asked: Asked) -> Any:
    """The queries that can have labels."""
    from services.errors import NotFound
    from services.evaluation.evaluate import judged_qords

    collection: Collection = asked.collection
    if asked.labels == "qrels":
        return judged_qords(collection, asked.split)
    qords = collection.split_qords(asked.split, judged_only=False)
    if not len(qords):
        raise NotFound(f"split '{asked.split}' of collection '{collection.name}' has no queries")
    return qords


def _print_plan(asked: Asked, as_json: bool) -> None:
    from services.tuning.arms import fused

    plan = {
        "collection": asked.collection.name,
        "split": asked.split,
        "measure": asked.measure.name,
        "labels": asked.labels,
        "queries": len(_qords(asked)),
        "arms": [arm.name for arm in fused()],
    }
    emit_record(plan, as_json=as_json)


def _print(tuned: Tuned, *, saved: bool) -> None:
    found = tuned.as_dict(saved=saved)
    rows = [
        {"arm": row["arm"], found["measure"]: f"{row['value']:.4f}"}
        | {key: f"{row[key]:+.4f}" for key in ("gain", "low", "high")}
        | {"p": f"{row['p']:.4f}"}
        for row in found["arms"]
    ]
    emit_rows(rows, list(rows[0]), as_json=False)
    say(f"{found['queries']:,} queries; gain over {tuned.better.name} with its 95 % interval")
    if tuned.labelled < 1:
        say(f"{tuned.labelled:.0%} of the candidates have a score: those without count as not relevant")
    gain = found["gain"]
    say(f"{tuned.recommendation}: {tuned.best.name} gains {gain['mean']:+.4f} "
        f"[{gain['low']:+.4f} {gain['high']:+.4f}] over {tuned.better.name}")  # fmt: skip
    if saved:
        say(f"saved for collection '{found['collection']}': `msmctl tune forget` takes it back")
