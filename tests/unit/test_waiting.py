"""What a command does before it waits for its jobs."""

from __future__ import annotations

from pathlib import Path

from cli.waiting import _require_dispatcher
from services.errors import Unavailable
from services.jobs import identity
from services.jobs.documents import Stored
from services.jobs.ledger import Ledger
from services.jobs.sqlite_documents import SqliteDocuments


class Flickering(Ledger):
    """Does not answer when it is first asked for the dispatcher."""

    asked = 0

    def dispatcher(self) -> Stored | None:
        self.asked += 1
        if self.asked == 1:
            raise Unavailable("away for a moment")
        return super().dispatcher()


def test_a_ledger_that_is_away_for_a_moment_is_asked_again_for_the_dispatcher(tmp_path: Path) -> None:
    ledger = Flickering(SqliteDocuments(tmp_path / "ledger.sqlite"), shared=True)
    ledger.take_lead(identity.me(), None)
    _require_dispatcher(ledger, patience=5.0)
    assert ledger.asked == 2
