"""Kombu's Redis transport, made to survive what is not a message.

Kombu parses an item of a Redis list inside the event loop: one item that is no JSON, or JSON without the
fields of an envelope, ends the whole worker, or holds its only prefetch slot for ever. Here such an item
is dropped and counted.
"""

from __future__ import annotations

from queue import Empty
from typing import Any

from kombu.transport import redis

from workers.dropped import count_dropped

_NOT_A_MESSAGE = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError)


class Channel(redis.Channel):
    """A channel that drops items which are no JSON."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except _NOT_A_MESSAGE as error:
            _count(error)
            raise Empty from None


class Transport(redis.Transport):
    """A transport that drops JSON which is no message. Name it in `broker_transport`."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        try:
            super()._deliver(message, queue)  # type: ignore[no-untyped-call]
        except _NOT_A_MESSAGE as error:
            _count(error)
            self._settle(message)

    def _settle(self, message: Any) -> None:
        """Acknowledge a message that got half way, or it would hold the prefetch slot for ever."""
        try:
            tag = message["properties"]["delivery_tag"]
        except (TypeError, KeyError, IndexError):
            return
        for channel in self.channels:
            if tag in channel.qos._delivered:
                channel.qos.ack(tag)


def _count(error: Exception) -> None:
    count_dropped("unreadable", f"{type(error).__name__}: {error}")
