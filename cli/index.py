"""`msmctl index`: build, verify, swap and roll back index versions."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from cli.options import (
    How,
    collection_option,
    job_options,
    json_option,
    opened,
    settings,
    store,
    system_option,
)
from cli.output import emit_json, emit_record, emit_rows, say

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from services.elastic.mapping import VectorIndex
    from services.elastic.versions import Version
    from services.settings import Settings

_COLUMNS = [
    "collection",
    "version",
    "state",
    "served",
    "passages",
    "queries",
    "systems",
    "vector_index",
    "bytes",
    "created",
]
_version = click.argument("version", required=True)
_any_version = click.argument("version", required=False)


@click.group()
def index() -> None:
    """Index versions: passages, queries and vectors of a collection in Elasticsearch (docs/index.md).

    \b
    Example:
      msmctl index build --system all-MiniLM-L6-v2
    """


@index.command()
@collection_option
@system_option
@click.option(
    "--vector-index",
    type=click.Choice(["hnsw", "int8_hnsw", "bbq_hnsw", "flat"]),
    default="hnsw",
    show_default=True,
    help="How vectors are held: graph, quantised graphs, or none (exact).",
)
@job_options
@click.pass_context
def build(
    ctx: click.Context,
    collection: str | None,
    systems: list[str],
    vector_index: VectorIndex,
    how: How,
) -> None:
    """Build a new version, check it, and serve it. What is served already stays if its vectors are at hand.

    \b
    Example:
      msmctl index build --collection squad --system all-MiniLM-L6-v2
    """
    from cli.waiting import run_specs
    from services.jobs.kinds.index import IndexSpec

    spec = IndexSpec.of(opened(ctx, collection), systems, vector_index)
    run_specs(ctx, [spec], **how)


@index.command()
@collection_option
@json_option
@click.pass_context
def ls(ctx: click.Context, collection: str | None, as_json: bool) -> None:
    """List the versions, of one collection or of all.

    \b
    Example:
      msmctl index ls --collection squad --json
    """
    from services.elastic.report import summaries
    from services.elastic.versions import versions

    present, client = _connected(ctx)
    emit_rows(summaries(client, versions(client, present, collection)), _COLUMNS, as_json=as_json)


@index.command()
@_any_version
@collection_option
@json_option
@click.pass_context
def show(ctx: click.Context, version: str | None, collection: str | None, as_json: bool) -> None:
    """Show a version (default: the served one): what it was made from, its gate, its mapping.

    \b
    Example:
      msmctl index show v2 --collection squad --json
    """
    from services.elastic.report import details

    _, client, found = _found(ctx, version, collection)
    record = details(client, found)
    if not as_json:
        record = {key: value for key, value in record.items() if key not in ("settings", "mappings")}
    emit_record(record, as_json=as_json)


@index.command()
@_any_version
@collection_option
@json_option
@click.pass_context
def verify(ctx: click.Context, version: str | None, collection: str | None, as_json: bool) -> None:
    """Run the gate on a version (default: the served one). Exit 1 when a check fails.

    A version whose gate had failed is complete once it passes, and can be swapped in.

    \b
    Example:
      msmctl index verify --collection squad
    """
    from services.elastic import gate
    from services.jobs.context import context_for
    from services.jobs.index_gate import judge_again

    _, _, found = _found(ctx, version, collection)
    checks, notes = judge_again(context_for(settings(ctx), "admin"), found)
    for note in notes:
        say(note)
    if as_json:
        emit_json(
            {
                "index": found.passages,
                "passed": all(check.passed for check in checks),
                "checks": gate.summary(checks),
            }
        )
    else:
        emit_rows(
            [{"check": check.name, "passed": check.passed, "found": check.found} for check in checks],
            ["check", "passed", "found"],
            as_json=False,
        )
    gate.verdict(found, checks)


@index.command()
@_version
@collection_option
@json_option
@click.pass_context
def swap(ctx: click.Context, version: str, collection: str | None, as_json: bool) -> None:
    """Serve a complete version: both aliases move in one call.

    \b
    Example:
      msmctl index swap v3 --collection squad
    """
    _serve(*_found(ctx, version, collection), as_json)


@index.command()
@collection_option
@json_option
@click.pass_context
def rollback(ctx: click.Context, collection: str | None, as_json: bool) -> None:
    """Serve the complete version before the served one again.

    \b
    Example:
      msmctl index rollback --collection squad
    """
    from services.elastic.versions import previous

    present, client = _connected(ctx)
    _serve(present, client, previous(client, present, _name(ctx, collection)), as_json)


@index.command()
@_version
@collection_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def rm(ctx: click.Context, version: str, collection: str | None, yes: bool, as_json: bool) -> None:
    """Remove a version that is not served; any, once its collection has been removed.

    \b
    Example:
      msmctl index rm v1 --collection squad --yes
    """
    from services.collections.current import existing
    from services.elastic import adhoc
    from services.elastic.versions import remove
    from services.errors import UsageError

    present, client, found = _found(ctx, version, collection)
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise UsageError(f"{found.passages} would be removed", hint="say --yes")
        click.confirm(f"Remove {found.passages} and {found.queries}?", abort=True, err=True)
    orphan = found.collection not in existing(store(ctx))
    remove(client, found, orphan=orphan)
    if orphan:
        adhoc.drop(client, present, found.collection)
    emit_record({"removed": [found.passages, found.queries]}, as_json=as_json)


@index.command()
@click.argument("one")
@click.argument("other")
@collection_option
@json_option
@click.pass_context
def diff(ctx: click.Context, one: str, other: str, collection: str | None, as_json: bool) -> None:
    """Show in what two versions differ: provenance, settings, mapping, documents.

    \b
    Example:
      msmctl index diff v1 v2 --collection squad
    """
    from services.elastic.report import details, differences

    _, client, first = _found(ctx, one, collection)
    _, _, second = _found(ctx, other, collection)
    emit_rows(
        differences(details(client, first), details(client, second)),
        ["what", "one", "other"],
        as_json=as_json,
    )


def _connected(ctx: click.Context) -> tuple[Settings, Elasticsearch]:
    from services.elastic.client import connect

    present = settings(ctx)
    return present, connect(present)


def _name(ctx: click.Context, collection: str | None) -> str:
    """The collection meant. A named one need not be in the store: its index may have outlived it."""
    from services.collections.current import resolve

    return collection or resolve(store(ctx), None)


def _found(
    ctx: click.Context, version: str | None, collection: str | None
) -> tuple[Settings, Elasticsearch, Version]:
    from services.elastic import versions
    from services.elastic.names import version_number

    present, client = _connected(ctx)
    number = None if version is None else version_number(version)
    return present, client, versions.version(client, present, _name(ctx, collection), number)


def _serve(present: Settings, client: Elasticsearch, target: Version, as_json: bool) -> None:
    from services.elastic import names, versions

    before = versions.served(client, present, target.collection)
    versions.swap(client, present, target)
    record: dict[str, Any] = {
        "collection": target.collection,
        "version": target.n,
        "passages_index": target.passages,
        "queries_index": target.queries,
        "alias": names.passages_alias(present, target.collection),
        "before": before.n if before else None,
    }
    emit_record(record, as_json=as_json)
