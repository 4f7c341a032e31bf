"""How many bytes the bodies of all requests together may hold, and what is made of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from services.errors import Overloaded


class BodyRoom:
    """Belongs to one event loop.

    Args:
        most: Bytes of all bodies, and of what is made of them.
        small: Of each body so many are free, so that large ones cannot keep small requests out.
    """

    def __init__(self, most: int, small: int) -> None:
        self.most = most
        self.small = small
        self.held = 0

    @contextmanager
    def place(self) -> Iterator[Place]:
        """The place of one body, for as long as its request lasts."""
        place = Place(self)
        try:
            yield place
        finally:
            self.held -= place.held


class Place:
    """What one body holds of the room.

    Attributes:
        size: Bytes in all, those that are free among them.
    """

    def __init__(self, room: BodyRoom) -> None:
        self._room = room
        self.size = 0

    @property
    def held(self) -> int:
        """Bytes that count."""
        return max(0, self.size - self._room.small)

    def take(self, more: int) -> None:
        """Hold so many bytes more.

        Raises:
            Overloaded: all together would hold more than they may.
        """
        room, before = self._room, self.held
        counted = max(0, self.size + more - room.small) - before
        if room.held + counted > room.most:
            raise Overloaded(
                f"the bodies of all requests together would be larger than {room.most / 2**20:g} MiB",
                hint="ask again later, or send less at a time",
            )
        self.size += more
        room.held += counted
