"""Applies given passages to a state: new ones get new ords, changed ones too, and tombstones for the old."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.collections import rows
from services.collections.bad_row import BadRow
from services.collections.collection import Collection, folder
from services.collections.duplicates import SeenIds
from services.collections.ids import are_integers
from services.collections.reader import Reader
from services.collections.schemas import passages_schema
from services.collections.sources.source import Source
from services.collections.state import CollectionState
from services.collections.writer import PartsWriter, write_positions
from services.errors import InputError
from services.store import Store

_BATCH_ROWS = 4_096
_LOOKUP_ROWS = 32_768  # with a state to look pids up in: each batch scans all of its pids
_BATCH_CHARACTERS = 8 << 20
_LINE_BITS = 40  # a place is source << 40 | line

Numbered = tuple[int, rows.Passage]


def apply_passages(store: Store, base: CollectionState, reader: Reader) -> CollectionState:
    """The state with its passages changed as given; parts are written, nothing is committed.

    Raises:
        InputError: a bad row (unless they are skipped), a damaged source, or no passage at all.
    """
    given = reader.given
    change = _Change(store, base, reader)
    change.delete(given.delete)
    change.upsert(given.passages)
    return change.finish()


class _Change:
    def __init__(self, store: Store, base: CollectionState, reader: Reader) -> None:
        self.store = store
        self.base = base
        self.reader = reader
        self.old = Collection(store, base)
        self.seen = SeenIds()
        self.writer = PartsWriter(store, f"{folder(base.name)}/passages", "ord", base.passage_count)
        self.dead: list[npt.NDArray[np.int32]] = []
        self.deleted: set[str] = set()
        self.filled = dict.fromkeys(base.fields, 0)
        self.integer_ids = base.integer_ids

    def delete(self, sources: list[Source]) -> None:
        """Give tombstones to the pids of the delete files."""
        for source in sources:
            found = list(self.reader.rows(source, rows.pid_of))
            ords = self.old.ords_of([pid for _, pid in found])
            for (line, pid), ord_ in zip(found, ords, strict=True):
                if ord_ < 0:
                    self.reader.rejects.add(
                        source.label, line, BadRow(f"pid '{pid}' is not in the collection", "remove the line")
                    )
            self.deleted |= {pid for (_, pid), ord_ in zip(found, ords, strict=True) if ord_ >= 0}
            self.dead.append(np.unique(ords[ords >= 0]))

    def upsert(self, sources: list[Source]) -> None:
        """Take the passages of the sources, in batches."""
        for number, source in enumerate(sources):
            check = partial(rows.passage, fields=self.base.fields, typed=source.typed)
            size = _LOOKUP_ROWS if self.base.passage_count else _BATCH_ROWS
            for batch in _batches(self.reader.rows(source, check), size):
                fresh = self._without_repeats(sources, number, batch)
                if fresh:
                    self._write(fresh)

    def finish(self) -> CollectionState:
        """Write what is pending; the new state."""
        parts = self.writer.close()
        dead = np.unique(np.concatenate(self.dead)) if self.dead else np.empty(0, np.int32)
        tombstones = write_positions(self.store, self.base.name, "tombstones", "ord", dead)
        if not self.base.passage_count:
            self._require_content()
        return self.base.model_copy(
            update={
                "passages": self.base.passages + parts,
                "tombstones": self.base.tombstones + tombstones,
                "passage_count": self.writer.next,
                "live_passages": self.base.live_passages
                + self.writer.next
                - self.base.passage_count
                - len(dead),
                "integer_ids": self.integer_ids,
            }
        )

    def _require_content(self) -> None:
        labels = ", ".join(source.label for source in self.reader.given.passages)
        if not self.writer.next:
            raise InputError(f"{labels}: no passage could be taken", hint="check the file and its format")
        for name, count in self.filled.items():
            if not count:
                raise InputError(
                    f"{labels}: no passage has the field '{name}'", hint="check the spelling of --field"
                )

    def _without_repeats(
        self, sources: list[Source], number: int, batch: list[Numbered]
    ) -> list[rows.Passage]:
        places = np.array([line for line, _ in batch], np.int64) + (number << _LINE_BITS)
        first = self.seen.add([passage.pid for _, passage in batch], places)
        fresh = []
        for (line, passage), place in zip(batch, first.tolist(), strict=True):
            if place >= 0:
                where = f"{sources[place >> _LINE_BITS].label}:{place & ((1 << _LINE_BITS) - 1)}"
                self.reader.rejects.add(
                    sources[number].label,
                    line,
                    BadRow(
                        f"duplicate pid '{passage.pid}': first at {where}", "give every passage its own pid"
                    ),
                )
            elif passage.pid in self.deleted:
                self.reader.rejects.add(
                    sources[number].label,
                    line,
                    BadRow(
                        f"pid '{passage.pid}' is also to be deleted", "remove it from one of the two files"
                    ),
                )
            else:
                fresh.append(passage)
        return fresh

    def _write(self, passages: list[rows.Passage]) -> None:
        table = _table(passages, self.base)
        if self.base.passage_count:
            table = self._changed(table)
        for name in self.filled:
            self.filled[name] += len(table) - table[f"meta.{name}"].null_count
        self.integer_ids = self.integer_ids and are_integers(table["pid"])
        self.writer.write(table)

    def _changed(self, table: pa.Table) -> pa.Table:
        """The rows that the old state does not have like this; their old ords become tombstones."""
        ords = self.old.ords_of(table["pid"].to_pylist())
        known = np.flatnonzero(ords >= 0)
        before = self.old.take_passages(ords[known], table.column_names)
        same = _equal_rows(table.take(pa.array(known)), before)
        self.dead.append(ords[known[~same]])
        keep = np.ones(len(table), np.bool_)
        keep[known[same]] = False
        return table.filter(pa.array(keep))


def _batches(numbered: Iterator[Numbered], size: int) -> Iterator[list[Numbered]]:
    batch: list[Numbered] = []
    characters = 0
    for item in numbered:
        batch.append(item)
        characters += len(item[1].text)
        if len(batch) == size or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _table(passages: list[rows.Passage], state: CollectionState) -> pa.Table:
    columns: dict[str, list[Any]] = {
        "pid": [passage.pid for passage in passages],
        "title": [passage.title for passage in passages],
        "text": [passage.text for passage in passages],
    }
    for i, name in enumerate(state.fields):
        columns[f"meta.{name}"] = [passage.values[i] for passage in passages]
    return pa.table(columns, passages_schema(state.fields).remove(0))


def _equal_rows(a: pa.Table, b: pa.Table) -> npt.NDArray[np.bool_]:
    """Per row, whether all columns are equal; null equals null."""
    same = np.ones(len(a), np.bool_)
    for name in a.column_names:
        both_null = pc.and_(pc.is_null(a[name]), pc.is_null(b[name]))
        equal = pc.or_(pc.fill_null(pc.equal(a[name], b[name]), False), both_null)
        same &= equal.to_numpy()
    return same
