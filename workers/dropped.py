"""Messages that were dropped because no dispatcher of ours can have written them: counted and logged."""

from __future__ import annotations

import logging
from collections import Counter

logger = logging.getLogger(__name__)

dropped: Counter[str] = Counter()
"""By reason, since this process started."""


def count_dropped(reason: str, detail: str) -> None:
    """Count a dropped message and say so in the worker's log; nothing of its content is trusted or long."""
    dropped[reason] += 1
    logger.warning("dropped message: %s (%d so far): %.200r", reason, dropped[reason], detail)
