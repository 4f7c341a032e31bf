"""`msmctl publish`: judged candidates in Elasticsearch, to be looked at with Kibana."""

from __future__ import annotations

import sys

import click

from cli.options import (
    How,
    Which,
    collection_option,
    job_options,
    json_option,
    negatives_options,
    opened,
    settings,
    split_option,
    store,
)
from cli.output import emit_record, emit_rows

_COLUMNS = (
    "collection", "version", "state", "served", "split", "systems", "ce", "queries", "documents", "bytes",
    "created",
)  # fmt: skip


@click.group()
def publish() -> None:
    """Put judged candidates into Elasticsearch, where Kibana shows them (docs/publish.md).

    \b
    Example:
      msmctl publish negatives --split train
    """


@publish.command()
@collection_option
@split_option
@negatives_options
@click.option("--queries", type=click.IntRange(1), help="So many queries, drawn at random by --seed.")
@click.option("--all", "everything", is_flag=True, help="All queries, also above 10 million candidates.")
@click.option(
    "--text/--no-text", "texts", default=None,
    help="Store the passages' texts again, or not. Default: up to 10 million candidates.",
)  # fmt: skip
@job_options
@click.pass_context
def negatives(
    ctx: click.Context,
    collection: str | None,
    split: str,
    which: Which,
    queries: int | None,
    everything: bool,
    texts: bool | None,
    how: How,
) -> None:
    """Publish a split's candidates: a document each, with systems, ranks, scores, verdict and why.

    \b
    Examples:
      msmctl publish negatives --split train
      msmctl publish negatives --system bm25 --filter rank-range=1:30 --queries 500 --seed 1
    """
    from cli.waiting import run_specs
    from services.jobs.kinds.publish import PublishSpec
    from services.negatives.mined import choose_runs

    if queries and everything:
        raise click.UsageError("--all and --queries exclude each other")
    chosen = opened(ctx, collection)
    runs = choose_runs(chosen, split, which["systems"], which["depth"])
    given = {name: value for name, value in which.items() if name not in ("systems", "no_marks")}
    spec = PublishSpec(
        collection=chosen.name,
        collection_version=chosen.state.version,
        split=split,
        systems=tuple(one.system.name for one in runs),
        marks=not which["no_marks"],
        queries=queries,
        everything=everything,
        texts=texts,
        **given,  # type: ignore[arg-type]
    )
    run_specs(ctx, [spec], **how)


@publish.command()
@collection_option
@json_option
@click.pass_context
def ls(ctx: click.Context, collection: str | None, as_json: bool) -> None:
    """List what is published, of one collection or of all.

    \b
    Example:
      msmctl publish ls --json
    """
    from services.elastic.client import connect
    from services.publishing.versions import summary, versions

    present = settings(ctx)
    client = connect(present)
    found = [summary(client, version) for version in versions(client, present, collection)]
    emit_rows(found, _COLUMNS, as_json=as_json)


@publish.command()
@click.argument("number", metavar="VERSION")
@collection_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def rm(ctx: click.Context, number: str, collection: str | None, yes: bool, as_json: bool) -> None:
    """Remove a version; with the served one, nothing is published until the next `publish negatives`.

    \b
    Example:
      msmctl publish rm v1 --collection squad --yes
    """
    from services.collections.current import resolve
    from services.elastic.client import connect
    from services.elastic.names import version_number
    from services.errors import UsageError
    from services.publishing.versions import remove, version

    present = settings(ctx)
    client = connect(present)
    # A named collection need not be in the store: what was published of it may have outlived it.
    found = version(client, present, collection or resolve(store(ctx), None), version_number(number))
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise UsageError(f"{found.index} would be removed", hint="say --yes")
        click.confirm(f"Remove {found.index}?", abort=True, err=True)
    remove(client, found)
    emit_record({"removed": [found.index]}, as_json=as_json)
