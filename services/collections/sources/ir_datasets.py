"""Data sets of the `ir_datasets` catalogue (https://ir-datasets.com), by id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.collections.names import check_split
from services.collections.rows import Record
from services.collections.sources.catalogue import CatalogueSource
from services.collections.sources.source import Given
from services.errors import InputError, MsmError, Unavailable

_KEYS = {"doc_id": "pid", "query_id": "qid", "relevance": "grade"}


def ir_dataset(ids: list[tuple[str, str]]) -> Given:
    """Passages of the first id; queries and qrels of each, under its split.

    Args:
        ids: (split, id), such as ("train", "msmarco-passage/train/judged").

    Raises:
        InputError: the library is not installed, or has no such id or no documents under it.
    """
    try:
        import ir_datasets
    except ImportError as error:
        raise InputError(
            "the library ir_datasets is not installed", hint="install it: pip install 'msmctl[catalogues]'"
        ) from error
    given = Given()
    for split, name in ids:
        try:
            dataset = ir_datasets.load(name)
        except KeyError:
            raise InputError(
                f"ir_datasets has no data set '{name}'", hint="https://ir-datasets.com lists them"
            ) from None
        if not given.passages and not dataset.has_docs():
            raise InputError(f"'{name}' has no documents", hint="give an id that has, first")
        if not given.passages:
            given.passages.append(_source(name, "docs", dataset))
        if dataset.has_queries():
            given.queries.append((check_split(split), _source(name, "queries", dataset)))
        if dataset.has_qrels():
            given.qrels.append((check_split(split), _source(name, "qrels", dataset)))
    return given


def _source(name: str, table: str, dataset: Any) -> CatalogueSource:
    def rows() -> Iterator[Record]:
        for row in getattr(dataset, f"{table}_iter")():
            yield _record(row)

    def explain(error: Exception) -> MsmError:
        return Unavailable(
            f"{name}/{table} could not be read: {type(error).__name__}: {error}",
            hint="ir_datasets downloads on first use: is there a network, and disk space?",
        )

    # The library raises what its downloads, archives and parsers raise; the chain keeps the cause.
    return CatalogueSource(f"{name}/{table}", rows, (OSError, RuntimeError, ValueError, EOFError), explain)


def _record(row: Any) -> Record:
    """A named tuple of the catalogue under our keys; without `text`, the document's default text."""
    record = {_KEYS.get(key, key): value for key, value in row._asdict().items()}
    if "pid" in record or "qid" in record:  # beside the catalogue's own key, these are something else
        record.pop("_id", None)
        record.pop("id", None)
    if "text" not in record and hasattr(row, "default_text"):
        record["text"] = row.default_text()
        record.pop("title", None)
    return record
