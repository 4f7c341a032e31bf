"""The Celery app: one task, `run_chunk`. Redis carries hints; the ledger is the truth.

Why each setting is as it is: docs/reliability.md.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from celery import Celery, shared_task
from celery.signals import after_setup_logger
from kombu.entity import Queue as KombuQueue
from pydantic import ValidationError

from services.errors import MsmError
from services.jobs.context import context_for, open_ledger
from services.jobs.execute import Hint, execute
from services.jobs.kind import Context, Queue
from services.jobs.ledger import Ledger
from services.settings import Settings, load
from services.stack.endpoints import endpoints
from services.stack.secrets import REDIS, password
from workers.dropped import count_dropped

QUEUES: tuple[Queue, ...] = ("cpu", "gpu", "train")
TASK = "msmctl.run_chunk"
SOFT_SHUTDOWN = 10.0
_VISIBILITY = 3600
"""Seconds until Redis delivers an unacknowledged hint again: long, as the ledger finds lost workers first."""


def queue_name(settings: Settings, queue: Queue) -> str:
    """The broker's name of a queue."""
    return f"{settings.prefix}.{queue}"


def broker_url(settings: Settings) -> str:
    """Redis with its password, for this process alone: never for a log or a command line."""
    parts = urlsplit(endpoints(settings).redis_url)
    host = parts.netloc.rpartition("@")[2]
    secret = quote(password(settings, REDIS), safe="")
    return urlunsplit(parts._replace(netloc=f":{secret}@{host}"))


def make_app(settings: Settings) -> Celery:
    """An app for these settings; connects to nothing yet."""
    app = Celery("msmctl", set_as_current=True)
    app.conf.update(
        broker_url=broker_url(settings),
        broker_transport="workers.transport:Transport",
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "global_keyprefix": f"{settings.prefix}:",
            "visibility_timeout": _VISIBILITY,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "queue_order_strategy": "priority",
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "health_check_interval": 25,
        },
        include=["workers.app"],
        task_queues=[
            KombuQueue(queue_name(settings, queue))  # type: ignore[no-untyped-call]
            for queue in QUEUES
        ],
        task_default_queue=queue_name(settings, "cpu"),
        task_create_missing_queues=False,
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure=True,
        task_acks_on_timeout=True,
        task_track_started=False,
        task_send_sent_event=True,
        worker_send_task_events=True,
        worker_prefetch_multiplier=1,
        worker_pool_start_method="spawn",
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # With REMAP_SIGTERM=SIGQUIT (services/stack/processes.py, docker-compose.yml): a chunk under way gets
        # these seconds to end, then its worker ends without it; an idle worker ends at once.
        worker_soft_shutdown_timeout=SOFT_SHUTDOWN,
        worker_enable_soft_shutdown_on_idle=False,
        worker_hijack_root_logger=True,
        worker_log_format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        worker_task_log_format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    return app


@shared_task(name=TASK)  # type: ignore[untyped-decorator] # celery has no types
def run_chunk(*arguments: Any, **fields: Any) -> str:
    """Execute the chunk that a message hints at; any other message is dropped."""
    try:
        hint = Hint.model_validate({"arguments": arguments, **fields} if arguments else fields)
    except ValidationError as error:
        count_dropped("not a hint", str(error.errors()[0]["msg"]))
        return "dropped"
    ledger, context = _tools()
    try:
        outcome = execute(ledger, context, hint)
    except MsmError as error:  # the ledger does not answer: the dispatcher will send the hint again
        _tools.cache_clear()
        return f"not claimed: {error.message}"
    return outcome


@after_setup_logger.connect  # type: ignore[untyped-decorator] # celery has no types
def _less_noise(**_: Any) -> None:
    """Lines per request to Elasticsearch would bury our own, which tell of every outage."""
    logging.getLogger("elastic_transport").setLevel(logging.ERROR)


@cache
def _tools() -> tuple[Ledger, Context]:
    """The ledger and the context of this process, opened with its first chunk and kept."""
    context = context_for(load(), "worker")
    return open_ledger(context), context
