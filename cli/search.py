"""`msmctl search`: ask a collection."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypedDict

import click

from cli.options import CommaList, collection_option, flat, json_option, settings, store
from cli.output import emit_json, emit_rows, say

if TYPE_CHECKING:
    from services.search.request import SearchRequest
    from services.search.result import SearchResult
    from services.systems.registry import Registry

_SNIPPET = 160


class Wanted(TypedDict):
    """What is asked: the options of `_request_options`, as `_request` takes them."""

    query: str | None
    mode: str | None
    systems: list[str]
    legs: tuple[str, ...]
    lookup: str | None
    fusion: str | None
    params: tuple[str, ...]
    filters: tuple[str, ...]
    rerank: str | None
    window: int | None
    budget_ms: float | None
    size: int
    start: int
    explain: bool


def _request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that make a request; the command takes them as one, `wanted`."""

    @wraps(command)
    def collected(*args: Any, **given: Any) -> Any:
        wanted = {name: given.pop(name) for name in Wanted.__annotations__}
        return command(*args, **given, wanted=wanted)

    options = [
        click.argument("query", required=False),
        click.option(
            "--mode", type=click.Choice(["hybrid", "bm25", "dense", "sparse"]),
            help="Who answers; default: hybrid.",
        ),
        click.option(
            "--system", "systems", multiple=True, type=CommaList(), callback=flat,
            help="Dense or sparse systems to ask; default: all that the index serves.",
        ),
        click.option(
            "--leg", "legs", multiple=True, metavar="LEG",
            help="A leg, in place of --mode: bm25, bm25:title^2,text, or a SYSTEM; repeat.",
        ),
        click.option(
            "--lookup", metavar="QID", help="Take this stored query's vectors; its text is not encoded."
        ),
        click.option(
            "--fusion", help="How the legs' rankings become one. Default: as saved (`tune`), else surprisal."
        ),
        click.option(
            "--set", "params", multiple=True, metavar="K=V", help="Parameter of the fusion: dense=0.5."
        ),
        click.option(
            "--filter", "filters", multiple=True, metavar="FIELD=VALUE",
            help="Condition on metadata, also >= and <=; repeat: all must hold.",
        ),
        click.option(
            "--rerank", metavar="MODEL", is_flag=False, flag_value="",
            help="Let a cross-encoder order the head. Default MODEL: the only one that is installed.",
        ),
        click.option(
            "--window", type=click.IntRange(1, 1000), help="How many --rerank scores, best first (50)."
        ),
        click.option(
            "--budget-ms", type=click.FloatRange(1, 600_000),
            help="Answer within so many milliseconds, with what there is by then.",
        ),
        click.option("--size", default=10, type=click.IntRange(1, 1000), help="Hits wanted (10)."),
        click.option("--from", "start", default=0, type=click.IntRange(0), help="Hits to pass over."),
        click.option("--explain", is_flag=True, help="Show how every hit came about."),
    ]  # fmt: skip
    for option in reversed(options):
        collected = option(collected)
    return collected


@click.command()
@_request_options
@collection_option
@json_option
@click.pass_context
def search(ctx: click.Context, wanted: Wanted, collection: str | None, as_json: bool) -> None:
    """Ask the served index of a collection: BM25, kNN and term weights, fused, and reranked if you like.

    \b
    Examples:
      msmctl search "When did the 1973 oil crisis begin?" --collection squad --explain
      msmctl search "oil crisis" --rerank --window 30 --budget-ms 500
    """
    from services.collections.current import resolve
    from services.search.opened import blocking
    from services.systems.registry import Registry

    present, kept = settings(ctx), store(ctx)
    request = _request(wanted, Registry.load(kept))
    name = collection or resolve(kept, None)
    with blocking(present, kept) as (runner, engine):
        result = runner.run(engine.search(name, request))
    if as_json:
        emit_json(result.as_dict())
    else:
        _print(result, explained=request.explain)


def _request(wanted: Wanted, registry: Registry) -> SearchRequest:
    """The request that the options make."""
    from services.errors import UsageError
    from services.search.request import SearchRequest

    if wanted["query"] is None and wanted["lookup"] is None:
        raise UsageError("nothing to search for: give QUERY, or --lookup QID")
    if wanted["window"] is not None and wanted["rerank"] is None:
        raise UsageError("--window says how many --rerank scores", hint="add --rerank, or --rerank MODEL")
    given: dict[str, Any] = {
        name: wanted[name]
        for name in ("query", "mode", "lookup", "fusion", "budget_ms", "size", "start", "explain")
        if wanted[name] is not None
    }
    given["systems"] = [registry.retrieving(name).name for name in wanted["systems"]]
    given["legs"] = [_leg(text, registry) for text in wanted["legs"]]
    given["params"] = _params(wanted["params"])
    given["filters"] = wanted["filters"]
    if wanted["rerank"] is not None:
        window = {} if wanted["window"] is None else {"window": wanted["window"]}
        given["rerank"] = {"model": wanted["rerank"] or None} | window
    return SearchRequest.parse(given)


def _leg(text: str, registry: Registry) -> dict[str, Any]:
    """A leg from `bm25`, `bm25:FIELD[^BOOST],…` or a system's name."""
    name, colon, fields = text.partition(":")
    if name == "bm25":
        return {"type": "bm25"} | ({"fields": fields.split(",")} if colon else {})
    system = registry.retrieving(text)
    return {"type": "sparse" if system.kind == "sparse" else "dense", "system": system.name}


def _print(result: SearchResult, *, explained: bool) -> None:
    for note in result.notes:
        say(note)
    steps = ", ".join(f"{step} {value:,.0f}" for step, value in result.timing.items() if value >= 0.5)
    reranked = "" if result.reranked is None else f", {result.reranked} reranked"
    say(
        f"{result.index}: {len(result.hits)} hits by {result.mode}{reranked} in {result.took_ms:,.0f} ms"
        + (f" ({steps})" if steps else "")
    )
    legs = list(result.hits[0]["explain"]["legs"]) if explained and result.hits else []
    scored = ["fused", "ce_score"] if legs and result.reranked is not None else []
    rows = [_row(hit) for hit in result.hits]
    emit_rows(rows, ["rank", "score", "pid", *legs, *scored, "text"], as_json=False)
    if legs:
        how = f"fused by {result.fusion}" if result.fusion else "one leg, nothing fused"
        say(f"per leg: score #rank in its own list -> normalised x weight; {how}")


def _row(hit: dict[str, Any]) -> dict[str, Any]:
    text = str(hit["text"]) if len(hit["text"]) <= _SNIPPET else hit["text"][: _SNIPPET - 1] + "…"
    row = {"rank": hit["rank"], "score": round(hit["score"], 4), "pid": hit["pid"], "text": text}
    if "explain" not in hit:
        return row
    for name, leg in hit["explain"]["legs"].items():
        row[name] = (
            f"{_shown(leg['score'])} #{leg['rank'] or '-'} -> {leg['normalised']:.3f} x {leg['weight']:.2f}"
        )
    found = hit["explain"]
    fused = f"{found['fused']:.4f} #{found['fused_rank']}"
    return row | {"fused": fused, "ce_score": _shown(found["ce_score"])}


def _shown(score: float | None) -> str:
    return "-" if score is None else f"{score:.4f}"


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
