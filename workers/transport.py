"""Kombu's Redis transport, made to survive what is not a message.

Kombu parses an item of a Redis list inside the event loop: one item that is no JSON, or JSON without the
fields of an envelope, ends the whole worker. Here such an item is dropped and counted.
"""

from __future__ import annotations

import logging
from queue import Empty
from typing import Any

from kombu.transport import redis

from workers.dropped import count_dropped

logger = logging.getLogger(__name__)

_NOT_A_MESSAGE = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError)


class Channel(redis.Channel):
    """A channel that drops items which cannot be read."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except _NOT_A_MESSAGE as error:
            count_dropped("unreadable", f"{type(error).__name__}: {error}")
            raise Empty from None


class Transport(redis.Transport):
    """Name it in `broker_transport`."""

    Channel = Channel
