"""From texts to ids: which query, which passage has this text?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from services.collections.collection import Collection
from services.exports.claims.claim import Entry

_RANGE = 1 << 16
_SHOWN = 60
Digests = npt.NDArray[np.uint64]


class TextIndex:
    """Finds passages and queries by their whole text; 12 bytes of memory per passage."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def with_ids(self, entry: Entry) -> Entry:
        """The entry, every text replaced by its id; a text that is not there stays, shortened."""
        return replace(
            entry,
            qid=None if entry.qid is None else self._id(entry.qid, self._queries, self._collection.qids),
            pos=[self._pid(text) for text in entry.pos],
            neg={name: [self._pid(text) for text in texts] for name, texts in entry.neg.items()},
            other=[self._pid(text) for text in entry.other],
        )

    def _pid(self, text: str) -> str:
        return self._id(text, self._passages, self._collection.pids)

    def _id(self, text: str, index: tuple[Digests, npt.NDArray[np.int64]], ids: object) -> str:
        digests, places = index
        wanted = _digest(text)
        place = int(np.searchsorted(digests, wanted))
        if place == len(digests) or digests[place] != wanted:
            return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        found = ids[int(places[place])]  # type: ignore[index]
        return str(found.as_py() if hasattr(found, "as_py") else found)

    @cached_property
    def _passages(self) -> tuple[Digests, npt.NDArray[np.int64]]:
        count = self._collection.passage_count
        texts = (
            text
            for lo in range(0, count, _RANGE)
            for text in self._collection.passage_texts(lo, min(lo + _RANGE, count))
        )
        return _indexed(texts, self._collection.live)

    @cached_property
    def _queries(self) -> tuple[Digests, npt.NDArray[np.int64]]:
        rows = self._collection.read_queries(0, self._collection.state.query_count, ["text"])
        texts: Iterator[str] = (text.as_py() for text in rows["text"])
        return _indexed(texts, self._collection.live_queries)


def named_by_ord(collection: Collection, entry: Entry) -> Entry:
    """The entry, its ords and qords replaced by ids; what is out of range stays as it is."""

    def pid(ord_: str) -> str:
        place = int(ord_)
        return str(collection.pids[place].as_py()) if 0 <= place < collection.passage_count else ord_

    qord = int(entry.qid or -1)
    return replace(
        entry,
        qid=collection.qids[qord] if 0 <= qord < collection.state.query_count else entry.qid,
        pos=[pid(ord_) for ord_ in entry.pos],
        neg={name: [pid(ord_) for ord_ in ords] for name, ords in entry.neg.items()},
        other=[pid(ord_) for ord_ in entry.other],
    )


def _digest(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little"))


def _indexed(texts: Iterable[str], live: npt.NDArray[np.bool_]) -> tuple[Digests, npt.NDArray[np.int64]]:
    """Digests ascending, and the position of each; of equal texts the first live one comes first."""
    digests = np.fromiter((_digest(text) for text in texts), np.uint64, len(live))
    places = np.flatnonzero(live)
    order = np.argsort(digests[places], kind="stable")
    return digests[places][order], places[order]
