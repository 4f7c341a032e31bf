"""Token ids of texts seen lately: a passage that many queries find is tokenised once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_TOKENS = 2_000_000
ENTRY = 50
"""Tokens that an entry counts for besides its own: one that has none takes room, too."""


def text_key(text: str) -> bytes:
    """What a text is remembered by: 16 bytes, however long it is."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class TokenCache(Generic[T]):
    """The most lately used texts of one tokenizer, by hash of the text. For one thread.

    Args:
        size: Tokens of an entry.
        most: Tokens of all entries, `ENTRY` for each included.
    """

    def __init__(self, size: Callable[[T], int], most: int = MOST_TOKENS) -> None:
        self._size = size
        self._most = most
        self._known: OrderedDict[bytes, T] = OrderedDict()
        self.held = 0

    def of(self, texts: list[str], make: Callable[[list[str]], list[T]]) -> list[T]:
        """Entries of texts, in order; `make` gives those that are not known, each text once."""
        keys = [text_key(text) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        found = {key: self._known[key] for key in keys if key in self._known}
        if missing:
            found |= zip(missing, make(list(missing.values())), strict=True)
        for key in keys:
            self._keep(key, found[key])
        return [found[key] for key in keys]

    def _keep(self, key: bytes, entry: T) -> None:
        if key not in self._known:
            self.held += self._weight(entry)
        self._known[key] = entry
        self._known.move_to_end(key)
        while self.held > self._most and len(self._known) > 1:
            _, oldest = self._known.popitem(last=False)
            self.held -= self._weight(oldest)

    def _weight(self, entry: T) -> int:
        return ENTRY + self._size(entry)
