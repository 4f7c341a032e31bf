"""How many bytes the bodies of all requests together may hold: a body is read before its sender is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from services.api.limits import BODIES_BYTES, SMALL_BODY
from services.errors import Overloaded


class BodyRoom:
    """Belongs to one event loop.

    Args:
        most: Bytes of all bodies.
        small: Of each body so many are free, so that large ones cannot keep searches out.
    """

    def __init__(self, most: int = BODIES_BYTES, small: int = SMALL_BODY) -> None:
        self._most = most
        self._small = small
        self.held = 0

    @contextmanager
    def place(self) -> Iterator[Place]:
        """The place of one body, for as long as its request lasts."""
        place = Place(self)
        try:
            yield place
        finally:
            self.held -= place.held

    def more(self, held: int, size: int) -> int:
        """What a body of `size` bytes holds that held `held` until now.

        Raises:
            Overloaded: all together would hold more than they may.
        """
        wanted = max(0, size - self._small)
        if self.held + wanted - held > self._most:
            raise Overloaded(
                f"the bodies of all requests together would be larger than {self._most / 2**20:g} MiB",
                hint="ask again later, or send less at a time",
            )
        self.held += wanted - held
        return wanted


class Place:
    """What one body holds of the room."""

    def __init__(self, room: BodyRoom) -> None:
        self._room = room
        self.held = 0

    def grow(self, size: int) -> None:
        """The body has so many bytes by now. Raises: as `BodyRoom.more`."""
        self.held = self._room.more(self.held, size)
