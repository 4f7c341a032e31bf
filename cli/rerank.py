"""`msmctl rerank`: put given lists in another order, by a cross-encoder or a bi-encoder."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options import FilePath, collection_option, dry_run_option, json_option, opened, settings, store
from cli.output import emit_record, say
from cli.progress import progress, to
from services.counted import counted

if TYPE_CHECKING:
    from services.collections.collection import Collection
    from services.imports.rejects import OnError
    from services.reranking.given import GivenFile
    from services.reranking.manifest import RerankManifest
    from services.reranking.request import RerankRequest
    from services.reranking.rerankers import Reranker
    from services.reranking.survey import Survey

_FILE = FilePath(dir_okay=False)


@click.command()
@click.option(
    "--run", "given", type=_FILE, required=True,
    help="TREC run, or qid, pid, query and passage between tabs (top1000).",
)  # fmt: skip
@click.option("--ce", help="Cross-encoder that reranks.")
@click.option("--system", help="Dense system that reranks, by exact similarity.")
@click.option("--output", "-o", "out", type=_FILE, required=True, help="TREC run; .gz or .zst: compressed.")
@collection_option
@click.option("--depth", type=click.IntRange(1), help="Passages per query to rerank. Default: all.")
@click.option(
    "--on-error", type=click.Choice(["fail", "skip"]), default="fail", show_default=True,
    help="What is unknown or cannot be scored: stop, or keep it below all else.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Write even if fresh, and over a file that is none of ours.")
@dry_run_option
@json_option
@click.pass_context
def rerank(
    ctx: click.Context,
    given: Path,
    ce: str | None,
    system: str | None,
    out: Path,
    collection: str | None,
    depth: int | None,
    on_error: OnError,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Rerank the lists of a run file. All given passages stay; those beyond the depth keep their order below.

    A collection gives the texts; a top1000 file brings its own, so that it needs none.

    \b
    Examples:
      msmctl rerank --run bm25.trec --ce ms-marco-MiniLM-L6-v2 --depth 100 -o reranked.trec
      msmctl rerank --run top1000.dev.tsv --ce ms-marco-TinyBERT-L2-v2 -o reranked.trec.gz
      msmctl rerank --run bm25.trec --system all-MiniLM-L6-v2 --collection squad -o dense.trec
    """
    from services.imports.rejects import rejecting
    from services.reranking.given import GivenFile, GivenLists
    from services.reranking.request import RerankRequest, check_place, fresh
    from services.reranking.rerank import write
    from services.reranking.survey import survey

    if (ce is None) == (system is None):
        raise click.UsageError("say what reranks: --ce or --system, one of the two")
    file = GivenFile(given)
    chosen = None if collection is None and file.brings_texts else opened(ctx, collection)
    request = RerankRequest(file, _reranker(ctx, ce, system, chosen), out, chosen, depth, on_error, force)
    check_place(request)
    inputs = request.inputs
    if (there := fresh(request, inputs)) and not dry_run:
        say(f"fresh, skipped: {out} is of these inputs already (--force writes it again)")
        emit_record(_result(request, there, fresh=True), as_json=as_json)
        return
    with rejecting(on_error) as rejects, GivenLists(GivenFile(given), rejects.rows) as lists:
        _read(file, lists)
        seen = survey(request, lists)
        left_out = rejects.rows.count
        _say(request, seen, left_out)
        if dry_run:
            emit_record(_plan(request, seen), as_json=as_json)
            return
        with progress(seen.pairs, f"rerank {given.name}", "pairs") as bar:
            written = write(request, inputs, lists, seen, partial(to, bar))
    if written.dead:
        say(f"{counted(written.dead, 'pairs')} could not be scored: {'; '.join(written.examples)}")
    emit_record(_result(request, written.manifest, fresh=False), as_json=as_json)


def _reranker(
    ctx: click.Context, ce: str | None, system: str | None, collection: Collection | None
) -> Reranker:
    from services.cross_encoders.registry import CrossEncoders
    from services.reranking.rerankers import ByBiEncoder, ByCrossEncoder
    from services.systems.registry import Registry

    place, present = store(ctx), settings(ctx)
    if ce is not None:
        return ByCrossEncoder(place, present, CrossEncoders.load(place).get(ce), collection)
    return ByBiEncoder(place, present, Registry.load(place).get(str(system)), collection)


def _read(file: GivenFile, lists: Any) -> None:
    with progress(None, f"read {file.path.name}", "passages") as bar:
        lists.read(lambda rows: bar.advance(rows - bar.done))


def _say(request: RerankRequest, seen: Survey, left_out: int) -> None:
    name = request.collection.name if request.collection else ""
    if left_out:
        say(f"{left_out:,} bad lines are left out")
    if seen.unknown_queries or seen.unknown_passages:
        unknown = (counted(seen.unknown_queries, "queries"), counted(seen.unknown_passages, "passages"))
        say(f"not in collection '{name}', and below all else: {' and '.join(unknown)}")
    if seen.stored:
        say(f"{seen.stored:,} of {seen.reranked:,} pairs are scored already")


def _plan(request: RerankRequest, seen: Survey) -> dict[str, Any]:
    return _described(request) | {
        "queries": seen.queries,
        "passages": seen.passages,
        "reranked": seen.reranked,
        "stored": seen.stored,
        "unknown_queries": seen.unknown_queries,
        "unknown_passages": seen.unknown_passages,
    }


def _result(request: RerankRequest, manifest: RerankManifest, *, fresh: bool) -> dict[str, Any]:
    return _described(request) | {
        "queries": manifest.queries,
        "passages": manifest.passages,
        "reranked": manifest.reranked,
        "bytes": manifest.bytes,
        "sha256": manifest.sha256,
        "fresh": fresh,
    }


def _described(request: RerankRequest) -> dict[str, Any]:
    return {
        "kind": "reranking",
        "file": str(request.out),
        "run": str(request.file.path),
        "by": request.reranker.name,
        "noun": request.reranker.noun,
        "collection": request.collection.name if request.collection else None,
        "depth": request.depth,
    }
