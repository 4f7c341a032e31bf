"""`msmctl verify FILE`: is what is in it what it claims to be?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.options import FilePath, collection_option, json_option, marks, no_marks_option, opened
from cli.output import emit_json, emit_rows, say
from cli.progress import progress


@click.command()
@click.argument("file", type=FilePath())
@collection_option
@click.option("--split", help="Only this split's judgements. Default: every split's.")
@click.option("--require-depth", type=click.IntRange(1), help="Fail where a list has fewer negatives.")
@no_marks_option
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    file: Path,
    collection: str | None,
    split: str | None,
    require_depth: int | None,
    no_marks: bool,
    as_json: bool,
) -> None:
    """Check a file of any format, ours or not, against a collection; of a folder, all its files.

    The format is told by the content. Counts positives among the negatives, exact and near copies of
    positives, repeats, unknown ids, and files that changed since their manifest was written, with
    examples; exit code 1 when there is any. The file's own positives count besides the judgements, and
    people's marks count for more, as in exports.

    \b
    Example:
      msmctl verify negatives.jsonl.gz --collection squad
      msmctl verify negatives.jsonl.gz --require-depth 50 --json
    """
    from services.errors import CheckFailed
    from services.exports.report import KINDS, Report
    from services.exports.verify import files_of
    from services.exports.verify import verify as check

    chosen = opened(ctx, collection)
    size = max(sum(one.stat().st_size for one in files_of(file)), 1) if file.exists() else 1
    with progress(None, f"verify {file.name}", "lines") as bar:
        report: Report = check(
            file,
            chosen,
            splits=[split] if split else None,
            marks=marks(ctx, chosen, no_marks=no_marks),
            required=require_depth,
            read=lambda done: bar.advance(fraction=min(done / size, 1.0)),
        )
    if as_json:
        emit_json(report.as_dict())
    else:
        _print(report.as_dict(), KINDS)
    if not report.ok:
        raise CheckFailed(f"{file}: {'; '.join(report.shortcomings())}", hint=report.remedy())


def _print(report: dict[str, Any], kinds: dict[str, str]) -> None:
    from services.shown import plain

    rows = [{"check": kinds[kind], "found": n} for kind, n in report["findings"].items()]
    for name, lists in report["systems"].items():
        held = f"{lists['lists']:,} lists of {lists['min']} to {lists['max']} negatives"
        rows.append({"check": f"{plain(name[:60])}: {held}, short", "found": report["short_lists"][name]})
    emit_rows(rows, ["check", "found"], as_json=False)
    for example in report["examples"]:
        inside = f"/{example['file']}" if "file" in example else ""
        where = f"{report['file']}{inside}" + (f":{example['line']}" if example["line"] else "")
        say(
            f"{where}: {example['finding']}: "
            + ", ".join(
                f"{key} {plain(str(value))}"
                for key, value in example.items()
                if key not in ("finding", "line", "file")
            )
        )
