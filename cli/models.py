"""`msmctl models`: what was trained here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.options import collection_option, dry_run_option, json_option, opened, settings, store
from cli.output import emit_record, emit_rows, say

if TYPE_CHECKING:
    from services.collections.collection import Collection
    from services.jobs.kind import Context

_COLUMNS = ("name", "makes", "collection", "split", "recipe", "steps", "last_loss", "made")


@click.group()
def models() -> None:
    """The models that were trained here.

    \b
    Example:
      msmctl models ls
      msmctl models promote minilm-squad --collection squad
    """


@models.command()
@json_option
@click.pass_context
def ls(ctx: click.Context, as_json: bool) -> None:
    """List trained models.

    \b
    Example:
      msmctl models ls --json
    """
    from services.training.trained import all_trained

    rows = [
        {
            "name": model.name,
            "makes": model.makes,
            "collection": model.collection,
            "split": model.split,
            "recipe": model.recipe["name"],
            "base": model.recipe["base"],
            **{key: model.training[key] for key in ("steps", "first_loss", "last_loss")},
            "measures": model.measures,
            "made": model.made,
            "folder": model.folder,
            "bytes": model.bytes,
        }
        for model in all_trained(store(ctx))
    ]
    emit_rows(rows, _COLUMNS, as_json=as_json)


@models.command()
@click.argument("name")
@json_option
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show what a model was made of, how it trained, and where its folder lies.

    The folder has the loss curve (loss.csv, loss.png) and a model card; sentence-transformers loads it.

    \b
    Example:
      msmctl models show ce-squad --json
    """
    from services.training.trained import the_trained

    artefacts = store(ctx)
    model = the_trained(artefacts, name)
    emit_record(model.described() | {"location": artefacts.location(model.folder)}, as_json=as_json)


@models.command()
@click.argument("name")
@collection_option
@click.option("--detach", is_flag=True, help="Return at once; `msmctl jobs watch` shows the rest.")
@click.option("--force", is_flag=True, help="Build the index version anew even if it is fresh.")
@dry_run_option
@json_option
@click.pass_context
def promote(
    ctx: click.Context,
    name: str,
    collection: str | None,
    detach: bool,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Serve a trained bi-encoder: make it a system, encode, build an index version, check it, swap.

    What is served already stays served besides it; `msmctl index rollback` undoes the swap.

    \b
    Example:
      msmctl models promote minilm-squad --collection squad --dry-run
      msmctl models promote minilm-squad --collection squad
    """
    from cli.waiting import run_specs
    from services.jobs.context import context_for
    from services.training.promotion import promotion

    chosen = opened(ctx, collection)
    context = context_for(settings(ctx), "admin")
    if dry_run:
        _plan(context, chosen, name, force=force, as_json=as_json)
        return
    run_specs(ctx, [promotion(context, chosen, name)], detach=detach, force=force, as_json=as_json)


def _plan(context: Context, collection: Collection, name: str, *, force: bool, as_json: bool) -> None:
    """Print what promoting would do, with its cost; the model is no system afterwards unless it was one."""
    from cli.planning import print_plan
    from services.jobs.submit import plan
    from services.training.promotion import promotion, rehearsal, swap_of

    with rehearsal(context) as trial:
        spec = promotion(trial, collection, name)
        planned = plan(trial, [spec], force)
    print_plan(planned, as_json)
    if planned[-1].fresh is None:
        say(f"swap: {swap_of(context, collection, spec.systems)}")
