"""`msmctl train`: a model by a recipe, on mined negatives."""

from __future__ import annotations

import click

from cli.options import CommaList, How, collection_option, flat, job_options, opened, split_option


@click.command()
@click.argument("recipe")
@click.option("--name", required=True, help="Of the model that is made.")
@collection_option
@split_option
@click.option("--base", help="System, cross-encoder or trained model to start from.")
@click.option(
    "--system",
    "systems",
    multiple=True,
    type=CommaList(),
    callback=flat,
    help="Whose candidates; repeat, or join by commas. Default: all that were mined.",
)
@click.option("--ce", help="Cross-encoder whose scores filters read. Default: the only one there is.")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="NAME=VALUE[,…]",
    help="Train on negatives that pass …; may be repeated. `msmctl negatives filters` lists them.",
)
@click.option("--relabel", metavar="'ce>=X'", help="Take what scores X or more for a positive.")
@click.option("--no-marks", is_flag=True, help="Leave people's marks out of account.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key of the recipe.")
@job_options
@click.pass_context
def train(
    ctx: click.Context,
    recipe: str,
    name: str,
    collection: str | None,
    split: str,
    base: str | None,
    systems: list[str],
    ce: str | None,
    filters: tuple[str, ...],
    relabel: str | None,
    no_marks: bool,
    overrides: tuple[str, ...],
    how: How,
) -> None:
    """Train a model by RECIPE: `ce-bce` (cross-encoder), `mnrl` (bi-encoder), or a .yaml file.

    The positives of a split and the negatives mined for them, as filters leave them. A cross-encoder can
    score at once (`msmctl score --ce NAME`); a bi-encoder is served after `msmctl models promote NAME`.

    \b
    Example:
      msmctl train ce-bce --collection squad --name ce-squad --set minutes=5
      msmctl train ce-bce --name ce-small --set layers=2 --set minutes=2 --dry-run
      msmctl train mnrl --name minilm-squad --ce ce-squad --filter ce-margin=3.0
    """
    from cli.waiting import run_specs
    from services.jobs.kinds.train import TrainSpec
    from services.training.recipe import load_recipe

    changes = {
        "base": base,
        "data.systems": systems or None,
        "data.ce": ce,
        "data.filters": list(filters) or None,
        "data.relabel": relabel,
        "data.marks": False if no_marks else None,
    }
    asked = load_recipe(
        recipe, overrides, {key: value for key, value in changes.items() if value is not None}
    )
    chosen = opened(ctx, collection)
    chosen.split_members(split)
    spec = TrainSpec(
        collection=chosen.name, collection_version=chosen.state.version, name=name, split=split, recipe=asked
    )
    run_specs(ctx, [spec], **how)
