"""Room for the bodies that are looked at, of all requests together: nobody knows yet who asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.gateway.native import refused

MOST = 256 << 20
"""Bytes, packed and unpacked, that are held at a time."""

Take = Callable[[int], None]
"""Takes so many bytes of room; Refused where they are not there."""


class Room:
    """So many bytes, shared by requests. Belongs to one event loop.

    Args:
        most: How many.
    """

    def __init__(self, most: int = MOST) -> None:
        self.left = most

    @contextmanager
    def share(self) -> Iterator[Take]:
        """One request's share, given back when it is over.

        Raises:
            Refused: 429, from what is yielded: there is no more room, now.
        """
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            if size > self.left:
                raise refused(
                    429,
                    "circuit_breaking_exception",
                    "the gateway holds as many bodies of searches as it may; try again, or send smaller ones",
                )
            self.left -= size
            taken += size

        try:
            yield take
        finally:
            self.left += taken
