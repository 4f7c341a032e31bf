"""Data sets of the Hugging Face hub (or a local folder in its layout), by id.

Two layouts are read. BEIR's, as BeIR/* and mteb/* publish it: a configuration `corpus` (_id, title, text),
one `queries` (_id, text), and judgements (query-id, corpus-id, score) by split in a configuration `qrels`
or `default`, or in a second data set `<id>-qrels`. And that of `sentence-transformers/msmarco`: `corpus`
(passage_id, passage), `queries` (query_id, query), and the positives in `labeled-list` (query_id, doc_ids,
labels).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from services.collections.bad_row import BadRow
from services.collections.names import check_split
from services.collections.rows import Record
from services.collections.sources.catalogue import CatalogueSource
from services.collections.sources.source import Given
from services.errors import InputError, MsmError, Unavailable
from services.shown import shown

_LISTS = "labeled-list"
_Read = Callable[[Iterable[Record]], Iterable[Record | BadRow]]


def hf_dataset(name: str) -> Given:
    """Passages, queries and qrels of a data set; rows are streamed, nothing is kept on disk.

    Args:
        name: An id such as `mteb/scifact`, or a local folder.

    Raises:
        InputError: the data set has another layout.
        Unavailable: the hub cannot be reached, or has no such data set.
    """
    import datasets

    hub = _Hub(name, datasets)
    configs = hub.configs(name)
    if "corpus" not in configs:
        raise InputError(
            f"data set '{name}' has no configuration 'corpus', but: {', '.join(configs)}",
            hint="export it to .jsonl or .parquet and use --passages, --queries, --qrels",
        )
    passages: _Read = _as_passages if _LISTS in configs else iter
    queries = [(None, source) for _, source in hub.tables(name, "queries")] if "queries" in configs else []
    return Given(
        passages=[source for _, source in hub.tables(name, "corpus", passages)],
        queries=list(queries),
        qrels=hub.judgements(configs) if queries else [],
    )


def _as_passages(rows: Iterable[Record]) -> Iterator[Record]:
    for row in rows:
        yield {"pid": row.get("passage_id"), "text": row.get("passage")}


def _as_judgements(rows: Iterable[Record]) -> Iterator[Record | BadRow]:
    """The positives of each list; all else in it is not known to be none."""
    for number, row in enumerate(rows, 1):
        try:
            pids, labels = (_list(row, column, number) for column in ("doc_ids", "labels"))
            if len(pids) != len(labels):
                raise _wrong(number, f"{len(pids):,} doc_ids and {len(labels):,} labels")
            for label in labels:
                if isinstance(label, bool) or not isinstance(label, int | float):
                    raise _wrong(number, f"a value in column 'labels' is no number: {shown(label)}")
        except BadRow as bad:
            yield bad
            continue
        for pid, label in zip(pids, labels, strict=True):
            if label > 0:
                yield {"qid": row.get("query_id"), "pid": pid, "grade": label}


def _list(row: Record, column: str, number: int) -> list[Any]:
    value = row.get(column)
    if not isinstance(value, list):
        raise _wrong(
            number, f"column '{column}' is no list" if column in row else f"there is no column '{column}'"
        )
    return value


def _wrong(number: int, found: str) -> BadRow:
    """The row of the table: lines count judgements, of which a row makes as many as it has positives."""
    return BadRow(f"row {number:,} of {_LISTS}: {found}", "a row has query_id, and lists doc_ids and labels")


class _Hub:
    """Asks the library, and turns what it raises into errors of ours."""

    def __init__(self, name: str, datasets: Any) -> None:
        self._name = name
        self._datasets = datasets

    def configs(self, name: str) -> list[str]:
        try:
            return list(self._datasets.get_dataset_config_names(name))
        except (OSError, ValueError) as error:
            raise self._explain(error) from error

    def tables(self, name: str, config: str, read: _Read = iter) -> list[tuple[str, CatalogueSource]]:
        """(split of the data set, its rows) of one configuration."""
        try:
            splits = self._datasets.load_dataset(name, config, streaming=True)
        except (OSError, ValueError) as error:
            raise self._explain(error) from error
        return [
            (split, self._source(f"{name}/{config}/{split}", rows, read)) for split, rows in splits.items()
        ]

    def judgements(self, configs: list[str]) -> list[tuple[str, Any]]:
        """(split, source) of the qrels, wherever this data set keeps them."""
        config = next((config for config in ("qrels", "default") if config in configs), None)
        if config is not None:
            tables = self.tables(self._name, config)
        elif _LISTS in configs:
            tables = self.tables(self._name, _LISTS, _as_judgements)
        else:
            other = f"{self._name}-qrels"
            tables = self.tables(other, self.configs(other)[0])
        return [(check_split(split.lower()), source) for split, source in tables]

    def _source(self, label: str, rows: Iterable[Record], read: _Read) -> CatalogueSource:
        return CatalogueSource(label, lambda: read(rows), (OSError, ValueError, RuntimeError), self._explain)

    def _explain(self, error: Exception) -> MsmError:
        hint = "is the id right, and is there a network? A local folder works too"
        if Path(self._name).exists():
            hint = "does the folder's README.md name its configurations and data files?"
        return Unavailable(f"data set '{self._name}': {type(error).__name__}: {error}", hint=hint)
