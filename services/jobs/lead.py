"""One dispatcher leads, by a lease in the ledger; another one takes over when the lease stands still."""

from __future__ import annotations

import time

from services.jobs import identity
from services.jobs.ledger import Ledger

_LONGEST_PERIOD = 1.0
"""Seconds between two beats: who asks from another machine whether somebody leads waits for one."""


class Lead:
    """Ask `hold` before every tick.

    Two leaders at a time (one stopped for longer than the lease, then continued) do no harm: everything
    they do is a compare-and-set. The lease only saves double work.

    Args:
        ledger: Where the lease is.
        owner: This process (`identity.me()`).
        lease: Seconds without a beat, by our own clock, after which the lease of another is void.
    """

    def __init__(self, ledger: Ledger, owner: str, lease: float) -> None:
        self._ledger = ledger
        self._owner = owner
        self._lease = lease
        self._period = min(lease / 3, _LONGEST_PERIOD)
        self._renew_at = 0.0
        self._seen: tuple[str, int] | None = None
        self._seen_at = 0.0
        self.leading = False

    def hold(self) -> bool:
        """Whether we lead; renews or takes the lease where it is time."""
        now = time.monotonic()
        if self.leading and now < self._renew_at:
            return True
        held = self._ledger.dispatcher()
        owner, beat = (str(held.body["owner"]), int(held.body["beat"])) if held else ("", 0)
        if (owner, beat) != self._seen:
            self._seen, self._seen_at = (owner, beat), now
        free = owner in ("", self._owner) or identity.is_gone(owner) or now - self._seen_at > self._lease
        self.leading = free and self._ledger.take_lead(self._owner, held)
        self._renew_at = now + self._period
        return self.leading

    def release(self) -> None:
        """Let another one lead at once."""
        held = self._ledger.dispatcher() if self.leading else None
        if held is not None and held.body["owner"] == self._owner:
            self._ledger.take_lead("", held)
        self.leading = False
