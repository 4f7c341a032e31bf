"""`msmctl gateway`: the Elasticsearch-compatible proxy, and the aliases that it answers in a saved mode."""

from __future__ import annotations

from typing import Any

import click

from cli.options import json_option, settings, store
from cli.output import emit_record, emit_rows


@click.group()
def gateway() -> None:
    """The Elasticsearch-compatible gateway; `msmctl up` starts it with the local stack.

    \b
    Example:
      msmctl gateway serve --port 9201
      msmctl gateway set msm-squad hybrid
    """


@gateway.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port; default: the local stack's, else 9201.")
@click.pass_context
def serve(ctx: click.Context, host: str, port: int | None) -> None:
    """Serve in the foreground, in front of the node of the local stack or of MSM_ES_URL.

    \b
    Example:
      msmctl gateway serve --port 9201
    """
    from services.gateway.serve import serve as listen

    listen(settings(ctx), host, port)


@gateway.command("set")
@click.argument("alias")
@click.argument("mode", type=click.Choice(["hybrid", "dense", "sparse"]))
@click.option("--fusion", help="Method; default: as a search without one.")
@click.option("--rerank", metavar="NAME", help="Let this cross-encoder order the head.")
@click.option("--window", type=click.IntRange(1, 1000), help="How many hits it scores. Default: 50.")
@click.option("--budget-ms", type=click.FloatRange(0, 600_000, min_open=True), help="For a whole search.")
@json_option
@click.pass_context
def set_alias(
    ctx: click.Context,
    alias: str,
    mode: str,
    fusion: str | None,
    rerank: str | None,
    window: int | None,
    budget_ms: float | None,
    as_json: bool,
) -> None:
    """Answer full-text searches on ALIAS in a mode, also those of clients that cannot send `ext`.

    Kibana's Discover is one. A search without a full-text query, or with a sort of its own, goes to the node
    as it is. Gateways that run take the change over within some seconds.

    \b
    Example:
      msmctl gateway set msm-squad hybrid --rerank ce-squad --window 20
    """
    from services.errors import UsageError
    from services.gateway.setting import set_alias as save

    if window and not rerank:
        raise UsageError("--window without --rerank", hint="name the cross-encoder: --rerank NAME")
    head = {"model": rerank, "window": window or 50} if rerank else None
    saved = save(
        settings(ctx),
        store(ctx),
        alias,
        {"mode": mode, "fusion": fusion, "rerank": head, "budget_ms": budget_ms},
    )
    emit_record(saved.model_dump(), as_json=as_json)


@gateway.command("ls")
@json_option
@click.pass_context
def list_aliases(ctx: click.Context, as_json: bool) -> None:
    """List the aliases that are answered in a saved mode.

    \b
    Example:
      msmctl gateway ls
    """
    from services.gateway.saved import load

    rows: list[dict[str, Any]] = [saved.model_dump() for _, saved in sorted(load(store(ctx)).items())]
    emit_rows(rows, ["alias", "collection", "mode", "fusion", "rerank", "budget_ms"], as_json=as_json)


@gateway.command()
@click.argument("alias")
@json_option
@click.pass_context
def unset(ctx: click.Context, alias: str, as_json: bool) -> None:
    """Let the node answer ALIAS again.

    \b
    Example:
      msmctl gateway unset msm-squad
    """
    from services.gateway.saved import remove

    emit_record(remove(store(ctx), alias).model_dump(), as_json=as_json)
