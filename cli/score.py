"""`msmctl score`: every candidate's cross-encoder score, computed once and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.options import (
    CommaList,
    How,
    collection_option,
    flat,
    job_options,
    marks,
    no_marks_option,
    opened,
    split_option,
)
from cli.output import say

if TYPE_CHECKING:
    from services.jobs.kinds.score import ScoreSpec


@click.command()
@click.option("--ce", required=True, help="Cross-encoder (`msmctl ce ls`).")
@click.option(
    "--system",
    "systems",
    multiple=True,
    type=CommaList(),
    callback=flat,
    help="Systems whose candidates are scored; repeat, or join by commas; default: all that were mined.",
)
@collection_option
@split_option
@click.option(
    "--top",
    type=click.IntRange(min=1),
    help="Only candidates that a system ranks so high, before exclusion; default: its whole run.",
)
@click.option("--queries", type=click.IntRange(min=1), help="Only so many of the split's queries, drawn.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the draw.")
@click.option("--all-queries", is_flag=True, help="Also queries without a positive.")
@no_marks_option
@job_options
@click.pass_context
def score(
    ctx: click.Context,
    /,
    ce: str,
    systems: list[str],
    collection: str | None,
    split: str,
    top: int | None,
    queries: int | None,
    seed: int,
    all_queries: bool,
    no_marks: bool,
    how: How,
) -> None:
    """Score candidates and positives with a cross-encoder.

    The candidates of all systems, and what qrels and people call positive, are put together, and each pair
    of query and passage is scored once: what this model has scored before is left alone. Scores are raw
    logits.

    \b
    Example:
      msmctl score --ce ms-marco-MiniLM-L6-v2
      msmctl score --collection squad --ce ce-squad --split train --top 5 --queries 1500
    """
    from cli.waiting import run_specs
    from services.jobs.kinds.score import ScoreSpec

    chosen = opened(ctx, collection)
    spec = ScoreSpec.of(
        chosen, ce, systems, marks(ctx, chosen, no_marks=no_marks), split=split, top=top, queries=queries,
        seed=seed if queries else 0, all_queries=all_queries,
    )  # fmt: skip
    for outcome in run_specs(ctx, [spec], **how):
        _tell_margins(spec, outcome.result or {})


def _tell_margins(spec: ScoreSpec, result: dict[str, Any]) -> None:
    """For a model without a margin of its own, what one can be chosen from."""
    if not result.get("margins"):
        return
    say(f"{spec.ce} has no margin of its own. Lowest positive's score minus candidate's, quantiles:")
    say("  " + "   ".join(f"{name} {value:+.2f}" for name, value in result["margins"].items()))
    say("  choose one: `--filter ce-margin=…`, or keep it: `msmctl ce add … --margin …`")
