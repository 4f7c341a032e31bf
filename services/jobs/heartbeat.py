"""A chunk's heartbeat: extends its lease, carries progress and log lines, learns that it shall stop."""

from __future__ import annotations

import logging
import threading
import time
from typing import Literal

from services.errors import Unavailable
from services.jobs.documents import Stale
from services.jobs.failures import OverLimit
from services.jobs.ledger import Ledger
from services.jobs.records import LOG_LINES, Row, now

logger = logging.getLogger(__name__)

_LONGEST_PERIOD = 3.0
Verdict = Literal["stopped", "fenced"]


class ChunkStopped(BaseException):
    """Raised by a checkpoint; no `except Exception` of a kind may swallow it.

    Attributes:
        verdict: 'stopped' (job paused or cancelled: hand the chunk back) or 'fenced' (another worker
            has it: drop everything).
    """

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict)
        self.verdict = verdict


class Heartbeat:
    """Use as a context manager around the chunk's work; `row` is the latest version afterwards.

    Args:
        ledger: Where the row lives.
        row: The claimed row.
        lease: Seconds of silence after which the chunk is given to another worker.
        soft_limit: Seconds after which a checkpoint raises `OverLimit`.
        stop: Set by the process that wants to stop after the next checkpoint (Ctrl-C of a local run).
    """

    def __init__(
        self,
        ledger: Ledger,
        row: Row,
        *,
        lease: float,
        soft_limit: float,
        stop: threading.Event | None = None,
    ) -> None:
        self.row = row
        self._ledger = ledger
        self._period = min(lease / 3, _LONGEST_PERIOD)
        self._deadline = time.monotonic() + soft_limit
        self._soft_limit = soft_limit
        self._stop = stop or threading.Event()
        self._over = threading.Event()
        self._progress = 0
        self._status = ""
        self._lines = row.log  # of earlier attempts
        self._verdict: Verdict | None = None
        self._thread = threading.Thread(target=self._run, name=f"heartbeat {row.id}", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.row = self._with_news(self.row)

    def checkpoint(self, rows: int) -> None:
        """Note the progress; raises `ChunkStopped` or `OverLimit`. Costs no request."""
        self._progress = rows
        if self._verdict is not None:
            raise ChunkStopped(self._verdict)
        if self._stop.is_set():
            raise ChunkStopped("stopped")
        if time.monotonic() > self._deadline:
            raise OverLimit(f"chunk took longer than its soft limit of {self._soft_limit:.0f} s")

    def log(self, line: str) -> None:
        """A line for `msmctl jobs logs`."""
        logger.info("%s: %s", self.row.id, line)
        self._lines = [*self._lines, f"{now()} {line}"][-LOG_LINES:]

    def say(self, word: str) -> None:
        """Where the chunk stands, for people who watch the job; carried by the next beat."""
        self._status = word

    def _run(self) -> None:
        while not self._over.wait(self._period) and self._verdict is None:
            try:
                self._beat()
            except Unavailable as error:  # the work goes on; the ledger is asked again
                logger.warning("%s: heartbeat: %s", self.row.id, error.message)

    def _beat(self) -> None:
        job = self._ledger.find_job(self.row.job)
        if job is None or job.state != "running":
            self._verdict = "stopped"
            return
        try:
            news = self._with_news(self.row)
            self.row = self._ledger.save(news.model_copy(update={"beat": news.beat + 1}))
        except Stale:
            self._verdict = "fenced"

    def _with_news(self, row: Row) -> Row:
        return row.model_copy(update={"progress": self._progress, "status": self._status, "log": self._lines})
