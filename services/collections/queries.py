"""Applies given queries and qrels to a state, and decides which queries each split has.

Queries are kept in memory while they are applied (a million of them take some 0.3 GB).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.collections import rows
from services.collections.bad_row import BadRow
from services.collections.collection import Collection, folder
from services.collections.ids import are_integers
from services.collections.reader import Reader
from services.collections.schemas import QUERIES
from services.collections.sources.source import Source
from services.collections.state import CollectionState
from services.collections.writer import PartsWriter, write_positions
from services.errors import InputError
from services.store import Store

Qords = npt.NDArray[np.int32]


@dataclass
class SplitQueries:
    """Which queries were given for which split.

    Attributes:
        members: Per split, the qords given for it.
        loose: qords given without a split: the qrels say where they belong.
        moved: Old qord -> new qord of queries whose text changed.
    """

    members: dict[str, Qords] = field(default_factory=dict)
    loose: Qords = field(default_factory=lambda: np.empty(0, np.int32))
    moved: dict[int, int] = field(default_factory=dict)


def apply_queries(
    store: Store, base: CollectionState, reader: Reader
) -> tuple[CollectionState, SplitQueries]:
    """The state with its queries changed as given, and the splits that they were given for.

    A new query gets a new qord, one whose text changed too (and its old qord a tombstone).

    Raises:
        InputError: a bad row (unless they are skipped) or a damaged source.
    """
    change = _Change(store, base, reader)
    taken = SplitQueries()
    for split in dict.fromkeys(split for split, _ in reader.given.queries):
        sources = [source for named, source in reader.given.queries if named == split]
        qords = np.unique(np.array(change.take(sources), np.int32))
        if not len(qords):
            labels = ", ".join(source.label for source in sources)
            raise InputError(f"{labels}: no query could be taken", hint="check the file and its format")
        if split is None:
            taken.loose = qords
        else:
            taken.members[split] = qords
    taken.moved = change.moved
    return change.finish(), taken


class _Change:
    def __init__(self, store: Store, base: CollectionState, reader: Reader) -> None:
        self.store = store
        self.base = base
        self.reader = reader
        self.known: dict[str, tuple[int, str]] = {}  # live qid -> (qord, text), before the change
        self.taken: dict[str, tuple[int, str, str]] = {}  # qid -> (qord, text, place), in this change
        self.new: list[tuple[str, str]] = []
        self.moved: dict[int, int] = {}
        if reader.given.queries and base.query_count:
            old = Collection(store, base)
            table = old.read_queries(0, base.query_count, ["qid", "text"])
            texts = zip(table["qid"].to_pylist(), table["text"].to_pylist(), strict=True)
            live = old.live_queries
            self.known = {qid: (qord, text) for qord, (qid, text) in enumerate(texts) if live[qord]}

    def take(self, sources: list[Source]) -> list[int]:
        """The qords of one split's queries."""
        qords: dict[str, int] = {}
        places: dict[str, str] = {}
        for source in sources:
            for line, query in self.reader.rows(source, rows.query):
                bad = self._conflict(query, places.get(query.qid))
                if bad:
                    self.reader.rejects.add(source.label, line, bad)
                else:
                    places[query.qid] = f"{source.label}:{line}"
                    qords[query.qid] = self._qord(query, places[query.qid])
        return list(qords.values())

    def _conflict(self, query: rows.Query, before: str | None) -> BadRow | None:
        if before is not None:
            return BadRow(f"duplicate qid '{query.qid}': first at {before}", "give every query its own qid")
        _, text, place = self.taken.get(query.qid, (0, query.text, ""))
        if text != query.text:
            return BadRow(
                f"qid '{query.qid}' has another text at {place}",
                "one qid has one text in all splits: rename one of the two",
            )
        return None

    def _qord(self, query: rows.Query, place: str) -> int:
        if query.qid in self.taken:
            return self.taken[query.qid][0]
        old, text = self.known.get(query.qid, (-1, ""))
        if old >= 0 and text == query.text:
            qord = old
        else:
            qord = self.base.query_count + len(self.new)
            self.new.append((query.qid, query.text))
            if old >= 0:
                self.moved[old] = qord
        self.taken[query.qid] = (qord, query.text, place)
        return qord

    def finish(self) -> CollectionState:
        """Write the new queries; the new state."""
        if not self.new:
            return self.base
        columns = {"qid": [qid for qid, _ in self.new], "text": [text for _, text in self.new]}
        table = pa.table(columns, QUERIES.remove(0))
        writer = PartsWriter(self.store, f"{folder(self.base.name)}/queries", "qord", self.base.query_count)
        writer.write(table)
        parts = writer.close()
        dead = np.array(sorted(self.moved), np.int32)
        return self.base.model_copy(
            update={
                "queries": self.base.queries + parts,
                "query_tombstones": self.base.query_tombstones
                + write_positions(self.store, self.base.name, "query_tombstones", "ord", dead),
                "query_count": self.base.query_count + len(self.new),
                "live_queries": self.base.live_queries + len(self.new) - len(dead),
                "integer_ids": self.base.integer_ids and are_integers(table["qid"]),
            }
        )
