"""Files by their endings: .jsonl/.ndjson/.json, .parquet, anything else is tab-separated; all .gz or .zst."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from services.collections.sources.jsonl import JsonlSource
from services.collections.sources.lines import bare_suffix
from services.collections.sources.parquet import ParquetSource
from services.collections.sources.source import Source
from services.collections.sources.tsv import PASSAGE_COLUMNS, QUERY_COLUMNS, IdSource, QrelsSource, TsvSource
from services.errors import UsageError


def _self_describing(path: Path, fields: Collection[str] | None = ()) -> Source | None:
    suffix = bare_suffix(path)
    if suffix in (".jsonl", ".ndjson", ".json"):
        return JsonlSource(path)
    return ParquetSource(path, fields) if suffix == ".parquet" else None


def passage_columns(text: str, fields: Collection[str]) -> tuple[str, ...]:
    """`pid,title,text` as names.

    Raises:
        UsageError: pid or text is missing, a name is repeated or is no declared field.
    """
    names = tuple(name.strip() for name in text.split(","))
    unknown = [name for name in names if name not in ("pid", "title", "text", *fields)]
    if unknown:
        raise UsageError(
            f"--columns: unknown column '{unknown[0]}'", hint=f"declare it: --field {unknown[0]}:keyword"
        )
    if len(set(names)) < len(names) or not {"pid", "text"} <= set(names):
        raise UsageError(
            f"--columns {text}: needs pid and text, each name once", hint="such as pid,title,text"
        )
    return names


def passages(
    path: Path, columns: tuple[str, ...] = PASSAGE_COLUMNS, fields: Collection[str] | None = None
) -> Source:
    """A file of passages.

    Args:
        path: The file.
        columns: Names of the columns of a tab-separated file.
        fields: Metadata that the collection has; a tab-separated file must have all of it, lest an
            update take what is not there for deleted. None: not known, and every column is read.
    """
    source = _self_describing(path, fields)
    if source:
        return source
    missing = [name for name in fields or () if name not in columns]
    if missing:
        raise UsageError(
            f"{path}: field '{missing[0]}' is none of the columns {', '.join(columns)}",
            hint=f"--columns {','.join([*columns, *missing])}",
        )
    return TsvSource(path, columns)


def queries(path: Path) -> Source:
    """A file of queries: `qid`, `text`."""
    return _self_describing(path) or TsvSource(path, QUERY_COLUMNS)


def qrels(path: Path) -> Source:
    """A file of judgements."""
    return _self_describing(path) or QrelsSource(path)


def pids(path: Path) -> Source:
    """A file of pids to delete: one per line, or rows with a `pid`."""
    return _self_describing(path) or IdSource(path)
