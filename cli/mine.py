"""`msmctl mine`: what systems return for a split's queries, kept as runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.options import How, collection_option, job_options, opened, split_option, system_option

if TYPE_CHECKING:
    from services.mining.runs import Engine


@click.command()
@system_option
@collection_option
@split_option
@click.option(
    "--depth",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Candidates per query that survive exclusion (positives, their copies).",
)
@click.option(
    "--engine",
    type=click.Choice(["exact", "es"]),
    default="exact",
    show_default=True,
    help="Encoders: exact products, or the index (kNN, term weights) with its recall measured.",
)
@click.option("--all-queries", is_flag=True, help="Also queries without a positive.")
@click.option("--refresh", is_flag=True, help="Ask again only what an update can have changed.")
@job_options
@click.pass_context
def mine(
    ctx: click.Context,
    systems: list[str],
    collection: str | None,
    split: str,
    depth: int,
    engine: Engine,
    all_queries: bool,
    refresh: bool,
    how: How,
) -> None:
    """Mine candidates for hard negatives.

    What a system needs first, vectors or an index, is made on the way; what is fresh is skipped. A run
    keeps everything that the system returned; what is a negative is decided when it is read, by
    `msmctl export hard-negatives`.

    \b
    Example:
      msmctl mine --system bm25
      msmctl mine --collection squad --system bm25,all-MiniLM-L6-v2 --split train --depth 50
      msmctl mine --system all-MiniLM-L6-v2 --refresh
    """
    from cli.waiting import run_specs
    from services.jobs.kinds.mine import MineSpec

    specs = MineSpec.of_each(
        opened(ctx, collection), systems, split=split, engine=engine,
        depth=depth, all_queries=all_queries, refresh=refresh,
    )  # fmt: skip
    run_specs(ctx, specs, **how)
