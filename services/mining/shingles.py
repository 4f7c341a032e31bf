"""When is a text a copy of another one: exactly after normalising, or nearly, by word 3-grams.

A near copy shares at least `THRESHOLD` of the word 3-grams (Jaccard; Broder, On the resemblance and
containment of documents, 1997). On MS MARCO's TREC DL 2019 judgements, of the passages that are not
positive but share .7 or more with a positive of the same query, 37 of 44 were judged related (grade 1);
below .6 it is a coin's toss.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from services.distinct import distinct
from services.ranges import Index, ranges, slices

WORDS = 3
THRESHOLD = 0.7
_KNOWN_WORDS = 1 << 20
_SEEN = np.uint64(1 << 21)
_AT_ONCE = 1 << 21
"""3-grams of pairs that are compared at a time: long texts of one vocabulary share most of theirs."""
Hashes = npt.NDArray[np.uint64]


class _Folding(dict[int, int | str | None]):
    """`str.translate` table, filled as characters turn up: letters, marks and digits stay."""

    def __missing__(self, code: int) -> int | str | None:
        character = chr(code)
        category = unicodedata.category(character)
        folded: int | str | None
        if category == "Cf":  # soft hyphens, joiners, marks of direction: not to be seen
            folded = None
        elif category[0] not in "LMN":
            folded = " "
        elif category == "Lo" and 0x3040 <= code <= 0x3134F and not 0xAC00 <= code <= 0xD7A3:
            folded = f" {character} "  # Chinese and Japanese are written without spaces
        else:
            folded = code
        self[code] = folded
        return folded


class _WordHashes(dict[str, int]):
    def __missing__(self, word: str) -> int:
        if len(self) >= _KNOWN_WORDS:
            self.clear()
        value = self[word] = _hash(word)
        return value


_FOLDING = _Folding()
_WORD_HASHES = _WordHashes()
# Odd multipliers (splitmix64's and xxHash's): the order of the three words counts.
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def words(text: str) -> list[str]:
    """The words of a text: NFKC, case folded, white space and punctuation folded."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    found = text.casefold().translate(_FOLDING).split()
    return found or text.split()  # a text of nothing but punctuation is compared as it stands


@dataclass(frozen=True, slots=True)
class Sketch:
    """What is compared of a text: a hash of its normal form, and its distinct 3-grams' hashes, ascending."""

    digest: int
    shingles: Hashes


def form() -> dict[str, Any]:
    """All that decides a text's sketch; another Python may know another Unicode."""
    return {"version": 1, "words": WORDS, "unicode": unicodedata.unidata_version}


def sketch(text: str) -> Sketch:
    """The sketch of a text; one of fewer than three words has no 3-gram and is compared exactly only."""
    normal = words(text)
    hashes = np.fromiter(map(_WORD_HASHES.__getitem__, normal), np.uint64, len(normal))
    count = max(0, len(hashes) - WORDS + 1)
    grams = np.zeros(count, np.uint64)
    for place in range(WORDS):
        grams = (grams ^ (hashes[place : place + count])) * _MIX[place]
    return Sketch(_hash(" ".join(normal)), distinct(grams))


@dataclass(frozen=True)
class Shingled:
    """The 3-grams of many texts; those of text n are `shingles[starts[n]:starts[n + 1]]`, ascending."""

    starts: Index
    shingles: Hashes

    @classmethod
    def of(cls, sketches: Sequence[Sketch]) -> Shingled:
        """Of some sketches, in order."""
        sizes = np.fromiter((len(one.shingles) for one in sketches), np.int64, len(sketches))
        flat = np.concatenate([np.empty(0, np.uint64), *(one.shingles for one in sketches)])
        return cls(np.concatenate([[0], np.cumsum(sizes)]), flat)

    @classmethod
    def joined(cls, several: Sequence[Shingled]) -> Shingled:
        """The texts of several, one after the other."""
        sizes = np.concatenate([np.empty(0, np.int64), *(one.sizes for one in several)])
        flat = np.concatenate([np.empty(0, np.uint64), *(one.shingles for one in several)])
        return cls(np.concatenate([[0], np.cumsum(sizes)]), flat)

    @property
    def sizes(self) -> Index:
        """3-grams of each text."""
        return np.diff(self.starts)

    def take(self, texts: Index) -> Shingled:
        """Some of the texts, in the order given."""
        sizes = self.sizes[texts]
        return Shingled(
            np.concatenate([[0], np.cumsum(sizes)]), self.shingles[ranges(self.starts[texts], sizes)]
        )


def near_copies(
    texts: Shingled, one: Index, other: Index, threshold: float = THRESHOLD
) -> npt.NDArray[np.bool_]:
    """Per pair of texts, whether their Jaccard is at or above the threshold.

    Args:
        texts: The texts.
        one: Positions of texts, one for each pair.
        other: As many positions, of few different texts.
        threshold: Of the Jaccard.
    """
    a, b = texts.sizes[one], texts.sizes[other]
    # Sets of very different size cannot be alike: |a and b| <= smaller, |a or b| >= larger.
    smaller, larger = np.minimum(a, b), np.maximum(a, b)
    possible = np.flatnonzero((smaller > 0) & (smaller / np.maximum(larger, 1) >= threshold))
    near = np.zeros(len(one), np.bool_)
    near[possible] = _shared_of(texts, one[possible], other[possible], threshold)
    return near


def _shared_of(texts: Shingled, one: Index, other: Index, threshold: float) -> npt.NDArray[np.bool_]:
    """As `near_copies`, of texts that have 3-grams."""
    lefts, left = np.unique(one, return_inverse=True)
    rights, right = np.unique(other, return_inverse=True)
    ours, theirs = texts.take(lefts), texts.take(rights)
    total = ours.sizes[left] + theirs.sizes[right]
    # Only 3-grams of some `other` can be shared: few texts have any of them.
    known, number = np.unique(theirs.shingles, return_inverse=True)
    kept, numbers = _known_among(ours.shingles, known)
    starts = np.searchsorted(kept, ours.starts)
    most = np.diff(starts)[left]
    near: npt.NDArray[np.bool_] = most / (total - most) >= threshold  # no more than these are shared
    left, right, total, most = left[near], right[near], total[near], most[near]
    keys = np.repeat(np.arange(len(rights)), theirs.sizes) * len(known) + number  # ascending
    shared = np.zeros(len(left))
    for pairs in slices(most, _AT_ONCE):
        some = most[pairs]
        wanted = np.repeat(right[pairs], some) * len(known) + numbers[ranges(starts[left[pairs]], some)]
        found = keys[np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)] == wanted
        shared[pairs] = np.bincount(np.repeat(np.arange(len(some)), some), found, len(some))
    near[near] = shared / (total - shared) >= threshold
    return near


def _known_among(shingles: Hashes, known: Hashes) -> tuple[Index, Index]:
    """Which of some 3-grams are known ones (ascending), and their positions among these."""
    # Nearly all are not: a table of their last bits says so sooner than a search.
    seen = np.zeros(int(_SEEN), np.bool_)
    seen[known % _SEEN] = True
    maybe = np.flatnonzero(seen[shingles % _SEEN])
    places = np.minimum(np.searchsorted(known, shingles[maybe]), max(len(known) - 1, 0))
    there = known[places] == shingles[maybe]
    return maybe[there], places[there]
