"""Sketches of a collection's passages, kept in the store: an export or a mine reads what another one made.

`collections/<c>/sketches/<fp>/<lo>-<fp>.npy` holds those of 4,096 passages: uint64, first the digests, then
where each text's 3-grams begin (one more than there are texts), then all 3-grams. A name has the hash of all
that decides the content and equal content gives equal bytes, so that no manifest is needed and two processes
that make the same range do no harm. Passages that are appended make new ranges; the others stay.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from services.collections.collection import Collection
from services.collections.collection import folder as collection_folder
from services.distinct import distinct
from services.encoding.shards import SHARD_ROWS, texts_fingerprint
from services.errors import AuthError
from services.mining.ranking import Ords
from services.mining.shingles import Hashes, Shingled, Sketch, form, sketch
from services.ranges import Index
from services.store import fingerprint
from services.store.fingerprint import short

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sketched:
    """Sketches of some passages.

    Attributes:
        ords: int32, ascending.
        digests: uint64, of their normal forms.
        texts: Their 3-grams.
    """

    ords: Ords
    digests: Hashes
    texts: Shingled

    @classmethod
    def of(cls, ords: Ords, sketches: Sequence[Sketch]) -> Sketched:
        """As they were made."""
        digests = np.fromiter((one.digest for one in sketches), np.uint64, len(sketches))
        return cls(ords, digests, Shingled.of(sketches))

    @classmethod
    def joined(cls, several: Iterable[Sketched]) -> Sketched:
        """Several, each ord in one of them, together."""
        parts = [cls.of(np.empty(0, np.int32), []), *several]
        ords = np.concatenate([part.ords for part in parts])
        texts = Shingled.joined([part.texts for part in parts])
        return cls(ords, np.concatenate([part.digests for part in parts]), texts).take(np.argsort(ords))

    def take(self, rows: Index) -> Sketched:
        """Some of them, by position."""
        return Sketched(self.ords[rows], self.digests[rows], self.texts.take(rows))

    def places(self, ords: npt.NDArray[np.integer]) -> Index:
        """Positions of ords that are all there."""
        return np.searchsorted(self.ords, ords)


class Sketches:
    """Sketches of the passages of one collection state.

    What is not in the store is made, and a whole range of it kept as soon as that is worth it: no more
    passages are sketched that nobody asked for than are asked for, so that a look at one query stays cheap,
    and a walk over many soon finds everything.

    Args:
        collection: The state.
        keep: Whether anything is written; what is there is read anyway.
    """

    def __init__(self, collection: Collection, *, keep: bool = True) -> None:
        self._collection = collection
        self._key = f"{collection_folder(collection.name)}/sketches/{short(fingerprint(form()))}"
        self._spare = 0
        self._keeps = keep

    @cached_property
    def _there(self) -> set[str]:
        return set(self._collection.store.children(self._key))

    def of(self, ords: npt.NDArray[np.integer]) -> Sketched:
        """The sketches of some ords, in any order, repeats included."""
        wanted = distinct(np.asarray(ords, np.int32))
        found, missing = [], {}
        for number in distinct(wanted // SHARD_ROWS).tolist():
            inside = wanted[slice(*np.searchsorted(wanted, self._range(number)))]
            whole = self._load(number)
            if whole is None:
                missing[number] = inside
            else:
                found.append(whole.take(whole.places(inside)))
        for number in self._worth_making({number: len(inside) for number, inside in missing.items()}):
            whole = self._make(number)
            found.append(whole.take(whole.places(missing.pop(number))))
        few = np.concatenate([np.empty(0, np.int32), *missing.values()])
        found.append(Sketched.of(few, [sketch(text) for text in self._collection.texts_of(few)]))
        return Sketched.joined(found)

    def _worth_making(self, asked: dict[int, int]) -> list[int]:
        """The ranges to make whole, those of which most is asked for first, as many as are paid for.

        Args:
            asked: By number of the range, how many of its passages.
        """
        self._spare += sum(asked.values())
        chosen: list[int] = []
        for number in sorted(asked, key=lambda number: -asked[number]) if self._keeps else ():
            lo, hi = self._range(number)
            unasked = hi - lo - asked[number]
            if unasked <= self._spare:
                self._spare -= unasked
                chosen.append(number)
        return chosen

    def _range(self, number: int) -> tuple[int, int]:
        return number * SHARD_ROWS, min((number + 1) * SHARD_ROWS, self._collection.passage_count)

    def _name(self, number: int) -> str:
        lo, hi = self._range(number)
        return f"{lo:010d}-{short(texts_fingerprint(self._collection.state.passages, lo, hi))}.npy"

    def _make(self, number: int) -> Sketched:
        lo, hi = self._range(number)
        texts = self._collection.passage_texts(lo, hi)
        made = Sketched.of(np.arange(lo, hi, dtype=np.int32), [sketch(text) for text in texts])
        name = self._name(number)
        try:
            self._save(name, made)
        except (OSError, AuthError) as error:
            # A full disk, a store that may only be read: what is made counts, and is made again next time.
            logger.warning("sketches of %s are not kept: %s", self._collection.name, error)
            self._keeps = False
        else:
            self._there.add(name)
        return made

    def _save(self, name: str, made: Sketched) -> None:
        store = self._collection.store
        flat = np.concatenate([made.digests, made.texts.starts.astype(np.uint64), made.texts.shingles])
        with store.scratch(self._key) as scratch:
            with scratch.open("wb") as stream:
                np.save(stream, flat)
            store.put_file(scratch, f"{self._key}/{name}")

    def _load(self, number: int) -> Sketched | None:
        """A range that is there and whole; its 3-grams are mapped, and read where they are taken."""
        name = self._name(number)
        if name not in self._there:
            return None
        try:
            path = self._collection.store.local_path(f"{self._key}/{name}")
            return _parsed(np.load(path, mmap_mode="r", allow_pickle=False), *self._range(number))
        except (OSError, EOFError, ValueError):  # cut off, or removed meanwhile: it is made again
            return None


def _parsed(flat: Hashes, lo: int, hi: int) -> Sketched:
    """What a range's file says; ValueError where it cannot be one."""
    rows = hi - lo
    starts = np.array(flat[rows : 2 * rows + 1], np.int64)
    shingles = np.asarray(flat[2 * rows + 1 :])
    sound = flat.dtype == np.uint64 and flat.ndim == 1 and len(starts) == rows + 1
    if not sound or starts[0] != 0 or starts[-1] != len(shingles) or (np.diff(starts) < 0).any():
        raise ValueError("no sketches")
    return Sketched(np.arange(lo, hi, dtype=np.int32), np.array(flat[:rows]), Shingled(starts, shingles))
