"""What one search may hold before it is answered: little, until the node knows who asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from services.body_room import BodyRoom, Place

LITTLE = 64 << 10
"""Bytes that any search may hold: of the body, of what is unpacked and of what is made of it."""
_MOST = 256 << 20
"""Bytes that all searches may hold beyond that."""


def room() -> BodyRoom:
    """What the searches of one gateway share."""
    return BodyRoom(_MOST, LITTLE)


class Stranger(Exception):
    """The node does not know who asks: it shall have the search as it came, and say so."""


class Claim:
    """What one search holds.

    Args:
        place: Its place in the room.
        known: Asks the node whether it knows who asks.
    """

    def __init__(self, place: Place, known: Callable[[], Awaitable[bool]]) -> None:
        self._place = place
        self._asked = known
        self._known = False

    async def take(self, size: int) -> None:
        """Hold so many bytes more.

        Raises:
            Stranger: as `known`; where it would be more than a little.
            Overloaded: there is no room for them.
        """
        if self._place.size + size > LITTLE:
            await self.known()
        self._place.take(size)

    async def known(self) -> None:
        """Go on only for somebody whom the node knows.

        Raises:
            Stranger: it does not.
            Refused: it cannot be asked.
        """
        if not self._known and not await self._asked():
            raise Stranger
        self._known = True
