"""When is a text a copy of another one: exactly after normalising, or nearly, by word 3-grams.

A near copy shares at least `THRESHOLD` of the word 3-grams (Jaccard; Broder, On the resemblance and
containment of documents, 1997). On MS MARCO's TREC DL 2019 judgements, of the passages that are not
positive but share .7 or more with a positive of the same query, 37 of 44 were judged related (grade 1);
below .6 it is a coin's toss.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

WORDS = 3
THRESHOLD = 0.7
_KNOWN_WORDS = 1 << 20
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


def sketch(text: str) -> Sketch:
    """The sketch of a text; one of fewer than three words has no 3-gram and is compared exactly only."""
    normal = words(text)
    hashes = np.fromiter((_WORD_HASHES[word] for word in normal), np.uint64, len(normal))
    count = max(0, len(hashes) - WORDS + 1)
    grams = np.zeros(count, np.uint64)
    for place in range(WORDS):
        grams = (grams ^ (hashes[place : place + count])) * _MIX[place]
    return Sketch(_hash(" ".join(normal)), np.unique(grams))


def near_copies(
    positive: Hashes, candidates: list[Hashes], threshold: float = THRESHOLD
) -> npt.NDArray[np.bool_]:
    """Per candidate, whether its Jaccard with the positive is at or above the threshold."""
    near = np.zeros(len(candidates), np.bool_)
    sizes = np.fromiter((len(shingles) for shingles in candidates), np.int64, len(candidates))
    own = len(positive)
    smaller, larger = np.minimum(sizes, own), np.maximum(sizes, own)
    # Sets of very different size cannot be alike: |a and b| <= smaller, |a or b| >= larger.
    possible = np.flatnonzero((smaller > 0) & (smaller / np.maximum(larger, 1) >= threshold))
    if not len(possible):
        return near
    flat = np.concatenate([candidates[n] for n in possible])
    places = np.minimum(np.searchsorted(positive, flat), own - 1)
    starts = np.concatenate([[0], np.cumsum(sizes[possible])[:-1]])
    shared = np.add.reduceat((positive[places] == flat).astype(np.int64), starts)
    near[possible] = shared / (own + sizes[possible] - shared) >= threshold
    return near
