"""From texts to ids: which query, which passage has this text?"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from services.collections.collection import Collection, Ords
from services.exports.claims.claim import Entry
from services.exports.labels import Labels

_SHOWN = 60
Places = npt.NDArray[np.int64]


class TextIndex:
    """Finds passages and queries by their whole text; 12 bytes of memory per passage.

    Of queries with the same text, the one that a row fits: whose positives hold the row's, and its negatives
    are not among them. Of passages with the same text, those of which it is known; each as often as it is
    there.
    """

    def __init__(self, collection: Collection, labels: Labels) -> None:
        self._collection = collection
        self._labels = labels

    def with_ids(self, entry: Entry) -> Entry:
        """The entry, every text replaced by its id; one that is not there stays, shortened and in quotes."""
        pos, *neg = (
            [self._passages.of(text) for text in texts] for texts in (entry.pos, *entry.neg.values())
        )
        qid, told = entry.qid, self._labels.of(-1)
        if qid is not None:
            qord = self._query(qid, pos, [place for found in neg for place in found])
            qid, told = self._collection.qids[qord] if qord >= 0 else _shown(qid), self._labels.of(qord)
        return replace(
            entry,
            qid=qid,
            pos=self._pids(entry.pos, pos, told.positives),
            neg={
                name: self._pids(entry.neg[name], found, told.kept)
                for name, found in zip(entry.neg, neg, strict=True)
            },
            other=self._pids(entry.other, [self._passages.of(text) for text in entry.other], told.positives),
        )

    def _query(self, text: str, pos: list[Places], neg: list[Places]) -> int:
        def fits(qord: int) -> tuple[bool, bool]:
            positives = self._labels.of(qord).positives
            holds = all(np.isin(places, positives).any() for places in pos)
            return holds, not any(len(places) and np.isin(places, positives).all() for places in neg)

        qords = self._queries.of(text).tolist()
        return max(qords, key=fits) if len(qords) > 1 else qords[0] if qords else -1

    def _pids(self, texts: list[str], found: list[Places], first: Ords) -> list[str]:
        """Of each text its pid; where several have the text, those in `first` come first."""
        pids: list[str] = []
        taken: Counter[str] = Counter()
        for text, places in zip(texts, found, strict=True):
            if len(places) > 1:
                places = places[np.argsort(~np.isin(places, first), kind="stable")]
                places = places[min(taken[text], len(places) - 1) :]
                taken[text] += 1
            pids.append(self._collection.pids[int(places[0])].as_py() if len(places) else _shown(text))
        return pids

    @cached_property
    def _passages(self) -> _Texts:
        texts = (
            text
            for lo, hi in self._collection.passage_ranges
            for text in self._collection.passage_texts(lo, hi)
        )
        return _Texts(texts, self._collection.live)

    @cached_property
    def _queries(self) -> _Texts:
        rows = self._collection.read_queries(0, self._collection.state.query_count, ["text"])
        return _Texts((text.as_py() for text in rows["text"]), self._collection.live_queries)


class _Texts:
    """Where each text is, by its digest.

    Args:
        texts: All of them.
        live: Which of them count.
    """

    def __init__(self, texts: Iterable[str], live: npt.NDArray[np.bool_]) -> None:
        digests = np.fromiter((_digest(text) for text in texts), np.uint64, len(live))
        places = np.flatnonzero(live)
        order = np.argsort(digests[places], kind="stable")
        self._digests, self._places = digests[places][order], places[order]

    def of(self, text: str) -> Places:
        """Positions of the text, ascending."""
        wanted = _digest(text)
        lo = int(self._digests.searchsorted(wanted))
        hi = int(self._digests.searchsorted(wanted, side="right"))
        return self._places[lo:hi]


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


def _shown(text: str) -> str:
    """An unknown text, shortened; in quotes and with a space, as no id is: a text may be spelt like an id."""
    if len(text) <= _SHOWN:
        return f'the text "{text}"'
    return f'the text "{text[:_SHOWN]}…" ({_digest(text):016x})'
