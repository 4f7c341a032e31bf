"""A store to try things on: reads what another one has, writes to a folder of its own."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from services.store.store import Store


class Overlay(Store):
    """What is written here is read first; the store below never changes. Nothing can be removed.

    Args:
        below: The store that is read.
        folder: Where writes go; may be thrown away at any time.
    """

    def __init__(self, below: Store, folder: Path) -> None:
        super().__init__(str(folder))
        self._own, self._below = Store(str(folder)), below

    def _holder(self, key: str) -> Store:
        return self._own if self._own.exists(key) else self._below

    def location(self, key: str) -> str:
        """As people know it: where the store below has it."""
        return self._below.location(key)

    def exists(self, key: str) -> bool:
        """See `Store`."""
        return self._holder(key).exists(key)

    def size(self, key: str) -> int:
        """See `Store`."""
        return self._holder(key).size(key)

    def read_bytes(self, key: str) -> bytes:
        """See `Store`."""
        return self._holder(key).read_bytes(key)

    @contextmanager
    def open(self, key: str) -> Iterator[IO[bytes]]:
        """See `Store`."""
        with self._holder(key).open(key) as stream:
            yield stream

    def local_path(self, key: str) -> Path:
        """See `Store`."""
        return self._holder(key).local_path(key)

    def children(self, key: str) -> list[str]:
        """See `Store`."""
        return sorted({*self._own.children(key), *self._below.children(key)})

    def create_json(self, key: str, value: object) -> None:
        """See `Store`."""
        if not self.exists(key):
            super().create_json(key, value)

    def remove(self, key: str) -> None:
        """Refused: what lies below would still be there."""
        raise io.UnsupportedOperation(f"an overlay cannot remove '{key}'")
