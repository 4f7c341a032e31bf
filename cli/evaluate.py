"""`msmctl evaluate`: measure systems or run files on a split's judgements."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options import CommaList, FilePath, collection_option, flat, json_option, opened, settings
from cli.output import emit_json, emit_rows, say
from cli.progress import Progress, progress
from services.counted import counted

if TYPE_CHECKING:
    from services.collections.collection import Collection
    from services.evaluation.evaluate import Evaluation, RunKind
    from services.evaluation.measures import Measure
    from services.jobs.kind import Context
    from services.mining.ranking import Candidates

DEFAULT = ("RR@10", "nDCG@10", "R@100")
_FILE = FilePath(dir_okay=False)


@click.command()
@click.option(
    "--system", "systems", multiple=True, type=CommaList(), callback=flat,
    help="System, hybrid (what a search returns), hybrid+rerank[:CE]; repeat, or join by commas.",
)  # fmt: skip
@click.option(
    "--run", "runs", multiple=True, type=_FILE, help="A TREC run to measure instead; may be repeated."
)
@collection_option
@click.option("--split", default="test", show_default=True, help="Split of the queries.")
@click.option(
    "--measure", "measures", multiple=True, default=DEFAULT, show_default=True,
    help="Measure as ir_measures spells it, such as R(rel=2)@1000; may be repeated.",
)  # fmt: skip
@click.option("--engine", type=click.Choice(["exact", "es"]), default="exact", show_default=True,
              help="Dense systems: exact products, or the kNN of the index.")  # fmt: skip
@click.option(
    "--reranking", is_flag=True,
    help="The runs, or imported systems, are reranked lists; those of `msmctl rerank` say so.",
)  # fmt: skip
@click.option("--min", "thresholds", multiple=True, metavar="MEASURE=VALUE",
              help="Fail (exit code 1) when a value is lower; may be repeated.")  # fmt: skip
@click.option("--local", is_flag=True, help="Make what is missing in this process, without a worker.")
@click.option("--run-out", type=_FILE, help="Write what the system returned as a TREC run (.gz: compressed).")
@json_option
@click.pass_context
def evaluate(
    ctx: click.Context,
    systems: list[str],
    runs: tuple[Path, ...],
    collection: str | None,
    split: str,
    measures: tuple[str, ...],
    engine: Any,
    reranking: bool,
    thresholds: tuple[str, ...],
    local: bool,
    run_out: Path | None,
    as_json: bool,
) -> None:
    """Measure how well systems, or TREC runs, find what a split's judgements call relevant.

    The result says whether it is retrieval (the whole collection was searched) or reranking (of a list that
    something else had found).

    \b
    Examples:
      msmctl evaluate --system bm25,all-MiniLM-L6-v2,hybrid --split test
      msmctl evaluate --system bm25 --measure RR@10 --measure nDCG@10 --min RR@10=.5 --json
      msmctl evaluate --run bm25.run.gz --collection squad --split test
    """
    from services.evaluation.evaluate import check
    from services.evaluation.measures import parse_measures, parse_threshold
    from services.jobs.context import context_for

    if not systems and not runs:
        raise click.UsageError("nothing to measure: give --system or --run")
    if run_out and len(systems) != 1:
        raise click.UsageError("--run-out writes one system's run: give one --system")
    least = [parse_threshold(text) for text in thresholds]
    context = context_for(settings(ctx))
    chosen = opened(ctx, collection)
    wanted = parse_measures([*measures, *(bound.name for bound in least)], chosen.state.min_rel)
    found = (
        _of_systems(ctx, context, chosen, split, wanted, systems, engine, local, run_out, reranking)
        if systems
        else []
    )
    found += [_of_run(chosen, split, wanted, path, reranking) for path in runs]
    _print(found, as_json)
    check(found, least)


def _of_systems(
    ctx: click.Context, context: Context, collection: Collection, split: str, measures: list[Measure],
    systems: list[str], engine: Any, local: bool, run_out: Path | None, reranking: bool,
) -> list[Evaluation]:  # fmt: skip
    from cli.waiting import run_specs
    from services.evaluation.evaluate import evaluate as measure
    from services.evaluation.evaluate import judged_qords
    from services.evaluation.systems import canonical, kind_of, needed, rankings
    from services.evaluation.trec_run import write_run

    qords = judged_qords(collection, split)
    depth = max(one.depth for one in measures)
    names = [canonical(context, name) for name in systems]
    kinds = {name: kind_of(context, name, reranking=reranking) for name in names}
    run_specs(ctx, needed(context, collection, names, engine), local=local, quiet=True)
    found = []
    for name in names:
        with progress(len(qords), f"evaluate {collection.name}/{split} {name}", "queries") as bar:
            lists = _counted(rankings(context, collection, split, name, qords, depth, engine), bar)
            if run_out:
                lists = write_run(run_out, collection, name, lists)
            found.append(measure(collection, split, name, measures, lists, kinds[name]))
    return found


def _counted(rankings: Iterator[Candidates], bar: Progress) -> Iterator[Candidates]:
    for ranking in rankings:
        yield ranking
        bar.advance()


def _of_run(
    collection: Collection, split: str, measures: list[Measure], path: Path, reranking: bool
) -> Evaluation:
    from services.evaluation.evaluate import evaluate as measure
    from services.evaluation.trec_run import read_run
    from services.reranking.manifest import is_reranked

    run = read_run(path, collection)
    if run.unknown_queries or run.unknown_passages:
        unknown = (counted(run.unknown_queries, "queries"), counted(run.unknown_passages, "passages"))
        say(f"{path}: not in collection '{collection.name}': {' and '.join(unknown)}")
    kind: RunKind = "reranking" if reranking or is_reranked(path) else "retrieval"
    return measure(collection, split, run.tag, measures, run.rankings, kind)


def _print(found: list[Evaluation], as_json: bool) -> None:
    if as_json:
        emit_json(found[0].as_dict() if len(found) == 1 else [one.as_dict() for one in found])
        return
    rows = [
        {key: value for key, value in one.as_dict().items() if key != "measures"}
        | {name: f"{value:.4f}" for name, value in one.measures.items()}  # as trec_eval prints them
        for one in found
    ]
    emit_rows(rows, list(rows[0]), as_json=False)
