"""`msmctl kibana`: data views, saved searches and dashboards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import CommaList, flat, json_option, require_utf8, settings, store
from cli.output import emit_record

if TYPE_CHECKING:
    from services.kibana.declarations import Declarations

_collections = click.option(
    "--collection", "-c", "collections", multiple=True, type=CommaList(), callback=flat,
    help="Only this collection; repeat, or join by commas. Default: all that there are and will be.",
)  # fmt: skip
_prefix = click.option("--prefix", help="Prefix of the indices. Default: MSM_PREFIX.")


@click.group()
def kibana() -> None:
    """Data views, saved searches and dashboards for Kibana (docs/kibana.md).

    \b
    Example:
      msmctl kibana export -o kibana.ndjson
    """


@kibana.command()
@click.option("--output", "-o", required=True, help="File, written over; '-': stdout.")
@_collections
@_prefix
@json_option
@click.pass_context
def export(
    ctx: click.Context, output: str, collections: list[str], prefix: str | None, as_json: bool
) -> None:
    """Write the objects as ndjson, as Kibana's Saved Objects page imports it; always the same bytes.

    \b
    Examples:
      msmctl kibana export -o kibana.ndjson
      msmctl kibana export --collection squad -o - | head -1
    """
    import hashlib

    from services.kibana.objects import ndjson, objects

    require_utf8(output)
    if output == "-" and as_json:
        raise click.UsageError("--json says what was written to a file; '-o -' prints the objects themselves")
    declared = _declared(ctx, collections, prefix)
    content = ndjson(declared)
    if output == "-":
        click.echo(content.decode("ascii"), nl=False)
        return
    file = Path(output)
    temporary = file.with_name(f".{file.name}.part")
    temporary.write_bytes(content)
    temporary.replace(file)
    record = {
        "file": output,
        "objects": len(objects(declared)),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    emit_record(record, as_json=as_json)


@kibana.command("import")
@click.option("--url", required=True, help="Kibana's address, with its base path if it has one.")
@click.option("--space", help="Id of the space. Default: the default space.")
@click.option("--user", default="admin", show_default=True, help="User that may manage saved objects.")
@click.option(
    "--password-file", type=click.Path(path_type=Path, dir_okay=False),
    help="File with the user's password. Default: the user's in MSM_SECRETS.",
)  # fmt: skip
@_collections
@_prefix
@json_option
@click.pass_context
def import_(
    ctx: click.Context,
    url: str,
    space: str | None,
    user: str,
    password_file: Path | None,
    collections: list[str],
    prefix: str | None,
    as_json: bool,
) -> None:
    """Put the objects into a running Kibana, over those of an earlier import.

    \b
    Examples:
      msmctl kibana import --url http://localhost:5601
      msmctl kibana import --url https://kibana.example --space search --user me --password-file secret
    """
    from services.kibana.client import import_objects
    from services.kibana.objects import ndjson
    from services.stack.secrets import password

    declared = _declared(ctx, collections, prefix)
    secret = _secret(password_file) if password_file else password(settings(ctx), user)
    done = import_objects(url, ndjson(declared), user, secret, space=space)
    record = {"url": url, "space": space or "default", "imported": len(done.objects), "objects": done.objects}
    if not as_json:
        del record["objects"]
    emit_record(record, as_json=as_json)


@kibana.command("hash")
@click.argument("query")
@json_option
@click.pass_context
def hash_(ctx: click.Context, query: str, as_json: bool) -> None:
    """Print the name that a query has in the log of searches (`query.hash`).

    \b
    Example:
      msmctl kibana hash "when did the oil crisis begin"
    """
    from services.searches.query_hash import QueryHash

    emit_record({"query": query, "hash": QueryHash.of(settings(ctx))(query)}, as_json=as_json)


def _declared(ctx: click.Context, collections: list[str], prefix: str | None) -> Declarations:
    """The declarations for these collections, which must be there."""
    from services.collections.collection import Collection
    from services.kibana import declarations
    from services.settings import load

    chosen = load(home=ctx.find_root().obj, prefix=prefix).prefix
    if collections:
        place = store(ctx)
        for name in collections:
            Collection.open(place, name)  # a view of a collection that is not there would be empty for ever
    return declarations.load(chosen, collections)


def _secret(file: Path) -> str:
    from services.errors import InputError

    try:
        return file.read_text("utf-8").strip()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file}: not a text file", hint="a file with the password and nothing else"
        ) from error
