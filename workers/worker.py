"""A worker: `python -m workers.worker [--queues cpu,gpu,train] [--concurrency 1]`.

Each of its children works on one chunk at a time, in a process started afresh (spawn), so that CUDA and
thread pools are its own; models are loaded there and kept. One worker per GPU, with its own
CUDA_VISIBLE_DEVICES.
"""

from __future__ import annotations

import argparse
import logging
import sys
from typing import Any

from celery.signals import task_rejected, task_unknown, worker_ready

from services.errors import MsmError
from services.settings import load
from workers.app import QUEUES, make_app, queue_name
from workers.beat import PERIOD, beat
from workers.dropped import count_dropped


@worker_ready.connect  # type: ignore[untyped-decorator] # celery has no types
def _start_beating(sender: Any, **_: Any) -> None:
    """From the moment that messages are consumed, by the event loop itself: if it hangs, the beat stops."""
    beat()
    sender.timer.call_repeatedly(PERIOD, beat)


@task_unknown.connect  # type: ignore[untyped-decorator] # celery has no types
@task_rejected.connect  # type: ignore[untyped-decorator] # celery has no types
def _count_refused(exc: Exception | None = None, **_: Any) -> None:
    """Messages that Celery itself refuses: an unknown task, another serializer than JSON."""
    count_dropped("refused by Celery", type(exc).__name__)


def main() -> None:
    """Run until SIGTERM; a chunk that does not end within SOFT_SHUTDOWN seconds is left to others."""
    parser = argparse.ArgumentParser(prog="python -m workers.worker", description="Work on chunks.")
    parser.add_argument("--queues", default=",".join(QUEUES), help="queues to work on (default: %(default)s)")
    parser.add_argument("--concurrency", type=int, default=1, help="children (default: %(default)s)")
    parser.add_argument("--name", default="worker", help="shown by `celery inspect` (default: %(default)s)")
    options = parser.parse_args()
    queues = options.queues.split(",")
    if unknown := set(queues) - set(QUEUES):
        parser.error(f"unknown queues: {', '.join(sorted(unknown))}; known: {', '.join(QUEUES)}")
    try:
        settings = load()
        app = make_app(settings)
    except MsmError as error:
        sys.exit(f"{error.message}\n{error.hint or ''}")
    logging.getLogger("celery.redirected").setLevel(logging.INFO)
    app.worker_main(
        [
            "--quiet",
            "worker",
            "--queues",
            ",".join(queue_name(settings, queue) for queue in queues),
            "--concurrency",
            str(options.concurrency),
            "--pool",
            "prefork",
            "--hostname",
            f"{options.name}@%h",
            "--without-gossip",
            "--without-mingle",
            "--loglevel",
            "INFO",
        ]
    )


if __name__ == "__main__":
    main()
