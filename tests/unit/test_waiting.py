"""What a command does before it waits for its jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import waiting
from services.errors import Unavailable
from services.jobs import identity
from services.jobs.context import context_for
from services.jobs.documents import Stored
from services.jobs.ledger import Ledger
from services.jobs.sqlite_documents import SqliteDocuments
from services.settings import Settings


class Flickering(Ledger):
    """Does not answer when it is first asked for the dispatcher."""

    asked = 0

    def dispatcher(self) -> Stored | None:
        self.asked += 1
        if self.asked == 1:
            raise Unavailable("away for a moment")
        return super().dispatcher()


def test_a_ledger_that_is_away_for_a_moment_is_asked_again_for_the_dispatcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Flickering(SqliteDocuments(tmp_path / "ledger.sqlite"), shared=True)
    ledger.take_lead(identity.me(), None)
    monkeypatch.setattr(waiting, "_patience", lambda context: 5.0)
    context = context_for(Settings(home=tmp_path))
    assert waiting._run(ledger, context, [], detach=True, local=False, force=False) == ([], [])
    assert ledger.asked == 2
