"""`msmctl query`: encode a text and keep it, so that Elasticsearch finds its vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.options import collection_option, json_option, settings, store
from cli.output import emit_json, emit_rows, say

if TYPE_CHECKING:
    from services.search.adhoc_queries import AdhocQuery


@click.group()
def query() -> None:
    """Keep queries for `lookup`: kNN in Kibana and in your own clients, without a model there.

    \b
    Example:
      msmctl query put "when did the oil crisis begin" --collection squad
    """


@query.command()
@click.argument("text")
@collection_option
@click.option("--id", "identity", help="By which it is looked up. Default: made of the text.")
@click.option("--days", type=click.IntRange(1, 90), default=7, show_default=True, help="Keep it so long.")
@click.option("--replace", is_flag=True, help="Keep it by --id even where that stands for another text.")
@json_option
@click.pass_context
def put(ctx: click.Context, /, text: str, collection: str | None, as_json: bool, **how: Any) -> None:
    """Encode a text with all served dense systems and keep it.

    \b
    Example:
      msmctl query put "when did the oil crisis begin" --collection squad --json
    """
    import asyncio

    kept = asyncio.run(_put(ctx, text, collection, **how))
    if as_json:
        emit_json(kept.as_dict())
        return
    say(f"{kept.id}: kept until {kept.expires}, for {kept.index}")
    rows = [{"system": name, **vars(lookup)} for name, lookup in kept.lookup.items()]
    emit_rows(rows, ["system", "index", "id", "path"], as_json=False)


async def _put(ctx: click.Context, text: str, collection: str | None, **how: Any) -> AdhocQuery:
    from services.collections.current import resolve
    from services.deadline import Deadline
    from services.elastic.client import connect_async
    from services.elastic.versions import served_async
    from services.inference.choose import models
    from services.search.adhoc_queries import AdhocQueries

    present, kept = settings(ctx), store(ctx)
    name = resolve(kept, collection)
    client, computed = connect_async(present), models(present, kept)
    try:
        version = await served_async(client, present, name)
        return await AdhocQueries(client, present, computed).put(version, text, Deadline(), **how)
    finally:
        await computed.close()
        await client.close()
