"""`msmctl collection`: import, update and inspect collections."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options import FilePath, dry_run_option, json_option, require_utf8, settings, store
from cli.output import emit_json, emit_record, emit_rows, say
from cli.progress import progress

if TYPE_CHECKING:
    from services.collections.change import Outcome
    from services.collections.sources.source import Given

_SPLIT = re.compile(r"([a-z0-9][a-z0-9_-]*)=(.+)", re.DOTALL)

SplitText = tuple[str | None, str]


class Splitwise(click.ParamType[SplitText]):
    """`SPLIT=VALUE`, or a value alone."""

    def __init__(self, what: str) -> None:
        self.name = f"[split=]{what}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> SplitText:
        """Take the split off."""
        if isinstance(value, tuple):
            return value
        require_utf8(value)
        match = _SPLIT.fullmatch(value)
        name, equals, _ = value.partition("=")
        if not match and equals and not Path(value).exists():
            self.fail(
                f"'{value}': '{name}' names no split, or nothing follows it; write {self.name}", param, ctx
            )
        return (match[1], match[2]) if match else (None, value)


_FILE = FilePath()
_queries = click.option(
    "--queries",
    multiple=True,
    type=Splitwise("file"),
    metavar="[SPLIT=]FILE",
    help="Queries; without SPLIT= the qrels decide which split a query belongs to.",
)
_qrels = click.option(
    "--qrels",
    multiple=True,
    type=Splitwise("file"),
    metavar="[SPLIT=]FILE",
    help="Judgements, TREC or BEIR; without SPLIT=: train.",
)
_columns = click.option(
    "--columns",
    default="pid,text",
    show_default=True,
    metavar="NAMES",
    help="Columns of tab-separated passages, such as pid,title,text.",
)
_on_error = click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="Bad rows: stop at the first, or leave them out and write them down.",
)


@click.group()
def collection() -> None:
    """Collections: passages, queries and qrels under one name.

    \b
    Example:
      msmctl collection import mine --passages p.tsv --queries train=q.tsv --qrels train=r.tsv
    """


@collection.command("import")
@click.argument("name")
@click.option(
    "--passages",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help="Passages: .tsv, .jsonl or .parquet, also .gz or .zst; may be repeated.",
)
@_queries
@_qrels
@click.option("--beir", type=_FILE, metavar="FOLDER", help="A BEIR folder instead of files.")
@click.option(
    "--ir-dataset",
    "ir_ids",
    multiple=True,
    type=Splitwise("id"),
    metavar="[SPLIT=]ID",
    help="An ir_datasets id; repeat for further splits.",
)
@click.option("--hf-dataset", "hf_id", metavar="ID", help="A Hugging Face dataset id in BEIR's layout.")
@click.option(
    "--field",
    "fields",
    multiple=True,
    metavar="NAME:TYPE",
    help="Metadata to keep: keyword, integer, float, date or boolean.",
)
@click.option("--min-rel", default=1, show_default=True, help="Grade from which a passage is a positive.")
@_columns
@_on_error
@dry_run_option
@json_option
@click.pass_context
def import_(
    ctx: click.Context,
    name: str,
    passages: tuple[Path, ...],
    queries: tuple[SplitText, ...],
    qrels: tuple[SplitText, ...],
    beir: Path | None,
    ir_ids: tuple[SplitText, ...],
    hf_id: str | None,
    fields: tuple[str, ...],
    min_rel: int,
    columns: str,
    on_error: Any,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make a collection of files, a BEIR folder or a catalogue's data set.

    \b
    Examples:
      msmctl collection import squad --passages collection.tsv.gz \\
          --queries train=queries.tsv --qrels train=qrels.tsv
      msmctl collection import dl19 --passages collection.tsv.gz --min-rel 2 \\
          --queries test=queries.tsv --qrels test=qrels.txt
      msmctl collection import scifact --beir scifact/ --field year:integer
    """
    from services.collections.fields import parse_declarations
    from services.collections.importer import ImportRequest, import_collection

    declared = parse_declarations(list(fields))
    given = _from_files(passages, columns, list(declared), queries, qrels)
    given = _from_catalogue(beir, ir_ids, hf_id, bool(passages)) + given
    request = ImportRequest(name=name, given=given, fields=declared, min_rel=min_rel)
    with progress(None, f"import {name}", "rows") as bar:
        outcome = import_collection(store(ctx), request, _how(ctx, on_error, dry_run, bar))
    _tell(outcome, as_json=as_json)


@collection.command()
@click.argument("name")
@click.option("--passages", multiple=True, type=_FILE, metavar="FILE", help="New and changed passages.")
@click.option("--delete", multiple=True, type=_FILE, metavar="FILE", help="pids to delete, one per line.")
@_queries
@_qrels
@_columns
@_on_error
@dry_run_option
@json_option
@click.pass_context
def update(
    ctx: click.Context,
    name: str,
    passages: tuple[Path, ...],
    delete: tuple[Path, ...],
    queries: tuple[SplitText, ...],
    qrels: tuple[SplitText, ...],
    columns: str,
    on_error: Any,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Add, change and delete passages; add and change queries; replace a split's qrels.

    What is identical stays as it is: only what changed is encoded and indexed again.

    \b
    Examples:
      msmctl collection update squad --passages new.tsv --delete old-pids.txt
      msmctl collection update squad --queries test=queries.tsv --qrels test=qrels.tsv
    """
    from services.collections.collection import Collection
    from services.collections.sources import files
    from services.collections.sources.source import Given
    from services.collections.updater import update_collection

    fields = Collection.open(store(ctx), name).state.fields
    given = _from_files(passages, columns, list(fields), queries, qrels)
    given = Given(delete=[files.pids(path) for path in delete]) + given
    with progress(None, f"update {name}", "rows") as bar:
        outcome = update_collection(store(ctx), name, given, _how(ctx, on_error, dry_run, bar))
    _tell(outcome, as_json=as_json)


@collection.command()
@json_option
@click.pass_context
def ls(ctx: click.Context, as_json: bool) -> None:
    """List the collections.

    \b
    Example:
      msmctl collection ls
    """
    from services.collections import current, summary
    from services.collections.collection import Collection
    from services.errors import MsmError

    place = store(ctx)
    chosen = current.current(place)
    rows = []
    for name in current.existing(place):
        try:
            rows.append(summary.row(Collection.open(place, name), chosen))
        except MsmError as error:
            say(f"collection {name} is left out: {error.message}")
    columns = ["name", "current", "version", "passages", "queries", "splits", "updated"]
    emit_rows(rows, columns, as_json=as_json)


@collection.command()
@click.argument("name", required=False)
@json_option
@click.pass_context
def show(ctx: click.Context, name: str | None, as_json: bool) -> None:
    """Show what a collection holds (default: the current one).

    \b
    Example:
      msmctl collection show squad --json
    """
    from services.collections import current
    from services.collections.collection import Collection
    from services.collections.summary import summarise

    place = store(ctx)
    found = Collection.open(place, current.resolve(place, name, "`msmctl collection show NAME`"))
    emit_record(summarise(found, current.current(place)).model_dump(mode="json"), as_json=as_json)


@collection.command()
@click.argument("name")
@json_option
@click.pass_context
def use(ctx: click.Context, name: str, as_json: bool) -> None:
    """Make a collection the current one, so that commands need no --collection.

    \b
    Example:
      msmctl collection use squad
    """
    from services.collections import current

    current.use(store(ctx), name)
    emit_record({"current": name}, as_json=as_json)


@collection.command()
@click.argument("name", required=False)
@json_option
@click.pass_context
def verify(ctx: click.Context, name: str | None, as_json: bool) -> None:
    """Read every part and check hashes, counts, positions and references; exit 1 with findings.

    \b
    Example:
      msmctl collection verify squad
    """
    from services.collections import current
    from services.collections.verify import verify_collection
    from services.errors import CheckFailed

    place = store(ctx)
    name = current.resolve(place, name, "`msmctl collection verify NAME`")
    with progress(None, f"verify {name}", "bytes") as bar:
        findings = verify_collection(place, name, bar.advance)
    rows = [found.model_dump() for found in findings]
    if as_json:
        emit_json({"collection": name, "ok": not findings, "findings": rows})
    else:
        emit_rows(rows, ["where", "found"], as_json=False)
        if not findings:
            say(f"collection {name} is whole")
    if findings:
        raise CheckFailed(
            f"collection '{name}': {len(findings)} finding(s)",
            hint=f"import it again: msmctl collection rm {name} --yes, then collection import",
        )


@collection.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def rm(ctx: click.Context, name: str, yes: bool, as_json: bool) -> None:
    """Remove a collection with its vectors and runs; its indices stay (msmctl index rm).

    \b
    Example:
      msmctl collection rm squad --yes
    """
    from services.collections import current
    from services.collections.remover import remove_collection
    from services.errors import UsageError

    place = store(ctx)
    current.resolve(place, name)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                f"removing collection '{name}' needs --yes", hint=f"msmctl collection rm {name} --yes"
            )
        click.confirm(f"Remove collection '{name}' with its vectors and runs?", abort=True, err=True)
    remove_collection(place, name, settings(ctx).home / "locks")
    emit_record({"removed": name}, as_json=as_json)


def _from_files(
    passages: tuple[Path, ...],
    columns: str,
    fields: list[str],
    queries: tuple[SplitText, ...],
    qrels: tuple[SplitText, ...],
) -> Given:
    from services.collections.sources import files
    from services.collections.sources.source import Given

    names = files.passage_columns(columns, fields)
    return Given(
        passages=[files.passages(path, names, fields) for path in passages],
        queries=[(split, files.queries(Path(path))) for split, path in queries],
        qrels=[(split or "train", files.qrels(Path(path))) for split, path in qrels],
    )


def _from_catalogue(
    beir: Path | None, ir_ids: tuple[SplitText, ...], hf_id: str | None, files: bool
) -> Given:
    from services.collections.sources.source import Given
    from services.errors import UsageError

    if sum(map(bool, (beir, ir_ids, hf_id, files))) > 1:
        raise UsageError(
            "passages from several places", hint="give one of --passages, --beir, --ir-dataset, --hf-dataset"
        )
    if beir:
        from services.collections.sources.beir import beir_folder

        return beir_folder(beir)
    if ir_ids:
        from services.collections.sources.ir_datasets import ir_dataset

        return ir_dataset([(split or "train", name) for split, name in ir_ids])
    if hf_id:
        from services.collections.sources.huggingface import hf_dataset

        return hf_dataset(hf_id)
    return Given()


def _how(ctx: click.Context, on_error: Any, dry_run: bool, bar: Any) -> Any:
    from services.collections.change import How

    return How(
        locks=settings(ctx).home / "locks",
        on_error=on_error,
        dry_run=dry_run,
        report=lambda rows, fraction: bar.advance(rows, fraction=fraction),
    )


def _tell(outcome: Outcome, *, as_json: bool) -> None:
    """The outcome's figures, and on stderr why nothing was done or what was left out."""
    if outcome.note:
        say(outcome.note)
    if outcome.rejected:
        say(f"{outcome.rejected:,} bad rows left out, written to {outcome.rejects}")
    if outcome.outside:
        say(
            f"{outcome.outside:,} judgements are about passages that the collection does not have: "
            "they count for evaluation alone"
        )
    emit_record(outcome.figures(), as_json=as_json)
