"""The dispatcher's side of the broker: publish hints, measure queues."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from services.errors import Unavailable
from services.jobs.execute import Hint
from services.jobs.kind import Queue
from services.jobs.registry import kind_named
from services.settings import Settings
from workers.app import TASK, queue_name


class CeleryBroker:
    """Hints as Celery messages on Redis. The task's shown name carries the kind."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    def publish(self, queue: Queue, kind: str, hint: Hint) -> None:
        """See `Broker`."""
        with _translated():
            self._app.send_task(
                TASK,
                kwargs=hint.model_dump(),
                queue=queue_name(self._settings, queue),
                shadow=f"msmctl.{kind}",
                time_limit=kind_named(kind).hard_limit,
                ignore_result=True,
                retry=False,
            )

    def depth(self, queue: Queue) -> int:
        """See `Broker`."""
        with _translated(), self._app.pool.acquire() as connection:
            return int(connection.default_channel.client.llen(queue_name(self._settings, queue)))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (KombuError, RedisError, OSError) as error:
        raise Unavailable(
            f"Redis does not answer: {type(error).__name__}: {error}", hint="`msmctl status` shows its state"
        ) from error
