"""`msmctl api`: the HTTP service and its keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.options import CommaList, flat, json_option, settings, store
from cli.output import emit_json, emit_record, emit_rows, say

if TYPE_CHECKING:
    from services.api.keys.key import Scope
    from services.api.keys.store import KeyStore

_COLUMNS = ("id", "name", "state", "scopes", "collections", "rate", "created", "expires")


@click.group()
def api() -> None:
    """The HTTP service; `msmctl up` starts it with the local stack.

    \b
    Example:
      msmctl api serve --port 8080
    """


@api.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port; default: the local stack's, else 8000.")
@click.pass_context
def serve(ctx: click.Context, host: str, port: int | None) -> None:
    """Serve in the foreground: search, embeddings, reranking (docs/api.md).

    \b
    Example:
      msmctl api serve --port 8000
    """
    from services.api.serve import serve as listen

    listen(settings(ctx), host, port)


@api.group()
def keys() -> None:
    """Keys for the HTTP service.

    \b
    Examples:
      msmctl api keys create --scope search --name shop
      msmctl api keys ls
    """


@keys.command()
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice(["search", "embed", "admin"]),
    help="What it may do; repeat. admin may do everything.",
)  # fmt: skip
@click.option(
    "--collection", "-c", "collections", multiple=True, type=CommaList(), callback=flat,
    help="Only these collections; repeat, or join by commas. Default: all.",
)  # fmt: skip
@click.option("--rate", type=click.IntRange(1, 1_000_000), help="Requests per minute. Default: no limit.")
@click.option("--expires", metavar="WHEN", help="30d, 12h, or a date. Default: never.")
@click.option("--name", default="", help="Whose it is, for the list.")
@json_option
@click.pass_context
def create(
    ctx: click.Context,
    scopes: tuple[Scope, ...],
    collections: list[str],
    rate: int | None,
    expires: str | None,
    name: str,
    as_json: bool,
) -> None:
    """Make a key and print it. It is shown this once: only its hash is kept.

    \b
    Examples:
      msmctl api keys create --scope search --name shop
      msmctl api keys create --scope search --collection squad --rate 600 --expires 30d
    """
    from datetime import UTC, datetime

    from services.api.keys.key import mint, parse_expiry
    from services.collections.current import resolve

    place = store(ctx)
    kept, text = mint(
        scopes,
        name=name,
        collections=[resolve(place, one) for one in collections],
        rate=rate,
        expires=parse_expiry(expires) if expires else None,
    )
    _keys(ctx).add(kept)
    if as_json:
        emit_json({"key": text} | kept.as_dict(datetime.now(UTC)))
        return
    say(f"key {kept.id}: it is shown this once; `msmctl api keys revoke {kept.id}` takes it back")
    click.echo(text)


@keys.command("ls")
@json_option
@click.pass_context
def list_keys(ctx: click.Context, as_json: bool) -> None:
    """List all keys, the newest first.

    \b
    Example:
      msmctl api keys ls
    """
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    rows: list[dict[str, Any]] = [key.as_dict(now) for key in _keys(ctx).all()]
    emit_rows(rows, _COLUMNS, as_json=as_json)


@keys.command()
@click.argument("identity", metavar="ID")
@json_option
@click.pass_context
def revoke(ctx: click.Context, identity: str, as_json: bool) -> None:
    """Refuse a key from now on; services that run notice within 5 seconds.

    \b
    Example:
      msmctl api keys revoke 3f9a11c04b7e
    """
    from datetime import UTC, datetime

    emit_record(_keys(ctx).revoke(identity).as_dict(datetime.now(UTC)), as_json=as_json)


def _keys(ctx: click.Context) -> KeyStore:
    from services.api.keys.store import KeyStore
    from services.elastic.client import connect

    present = settings(ctx)
    return KeyStore(connect(present), present)
