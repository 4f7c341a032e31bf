"""`msmctl search`: ask a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.options import CommaList, collection_option, json_option, settings, store
from cli.output import emit_json, emit_rows, say

if TYPE_CHECKING:
    from services.search.engine import SearchResult
    from services.search.request import Mode

_SNIPPET = 160


@click.command()
@click.argument("query")
@collection_option
@click.option(
    "--mode",
    type=click.Choice(["hybrid", "bm25", "dense"]),
    default="hybrid",
    show_default=True,
    help="Which legs answer.",
)
@click.option(
    "--system",
    "systems",
    multiple=True,
    type=CommaList(),
    help="Dense systems to ask; default: all that the index serves.",
)
@click.option("--size", default=10, show_default=True, type=click.IntRange(1, 1000), help="Hits wanted.")
@click.option(
    "--fusion",
    type=click.Choice(["convex", "rrf"]),
    default="convex",
    show_default=True,
    help="How the legs' rankings become one.",
)
@click.option(
    "--set", "params", multiple=True, metavar="K=V", help="A parameter of the fusion, such as dense=0.5."
)
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Condition on metadata, also >= and <=; repeat: all must hold.",
)
@click.option("--explain", is_flag=True, help="Show how every hit came about.")
@json_option
@click.pass_context
def search(
    ctx: click.Context,
    query: str,
    collection: str | None,
    mode: Mode,
    systems: tuple[list[str], ...],
    size: int,
    fusion: str,
    params: tuple[str, ...],
    filters: tuple[str, ...],
    explain: bool,
    as_json: bool,
) -> None:
    """Ask the served index of a collection: BM25 and kNN, fused.

    \b
    Example:
      msmctl search "When did the 1973 oil crisis begin?" --collection squad --explain
    """
    from services.collections.current import resolve
    from services.elastic.client import connect
    from services.search.engine import Engine
    from services.search.query_vectors import QueryVectors
    from services.search.request import Filter, SearchRequest
    from services.systems.registry import Registry

    present, kept = settings(ctx), store(ctx)
    registry = Registry.load(kept)
    request = SearchRequest(
        query=query,
        collection=collection or resolve(kept, None),
        mode=mode,
        systems=tuple(registry.retrieving(name).name for names in systems for name in names),
        size=size,
        fusion=fusion,
        params=_params(params),
        filters=tuple(map(Filter.parse, filters)),
    )
    engine = Engine(connect(present), present, QueryVectors(kept, present))
    result = engine.search(request, explained=explain)
    if as_json:
        emit_json(result.as_dict())
        return
    for note in result.notes:
        say(note)
    say(
        f"{result.index}: {len(result.hits)} hits by {result.mode} in {result.took_ms:,.0f} ms"
        + (f", and {result.encode_ms:,.0f} ms for the query's vector" if result.mode != "bm25" else "")
    )
    rows = [_row(hit) for hit in result.hits]
    legs = list(result.hits[0]["explain"]["legs"]) if explain and result.hits else []
    emit_rows(rows, ["rank", "score", "pid", *legs, "text"], as_json=False)
    _legend(result, legs)


def _row(hit: dict[str, Any]) -> dict[str, Any]:
    text = str(hit["text"]) if len(hit["text"]) <= _SNIPPET else hit["text"][: _SNIPPET - 1] + "…"
    row = {"rank": hit["rank"], "score": round(hit["score"], 4), "pid": hit["pid"], "text": text}
    for name, leg in hit.get("explain", {"legs": {}})["legs"].items():
        score = "-" if leg["score"] is None else f"{leg['score']:.4f}"
        row[name] = f"{score} #{leg['rank'] or '-'} -> {leg['normalised']:.3f} x {leg['weight']:.2f}"
    return row


def _legend(result: SearchResult, legs: list[str]) -> None:
    if legs:
        how = f"fused by {result.fusion}" if result.fusion else "one leg, nothing fused"
        say(f"per leg: score #rank in its own list -> normalised x weight; {how}")


def _params(given: tuple[str, ...]) -> dict[str, float]:
    from services.errors import UsageError

    values: dict[str, float] = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            values[name.strip()] = float(value)
        except ValueError:
            raise UsageError(f"--set {text}: not NAME=NUMBER", hint="such as --set dense=0.5") from None
    return values
