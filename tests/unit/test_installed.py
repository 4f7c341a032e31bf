"""Which model is meant where a request names none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.cross_encoders import models
from services.errors import UsageError
from services.search.installed import Installed
from services.store import Store
from tests.unit.tiny_ce import tiny_ce


def test_the_named_one_else_the_only_one_else_a_question(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    folder = str(tiny_ce(tmp_path / "model", "bert"))

    def asked(name: str | None = None) -> str:
        return asyncio.run(Installed(store).cross_encoder(name))

    assert asked("any") == "any"
    with pytest.raises(UsageError, match="Installed are: none") as none:
        asked()
    assert "msmctl ce pull" in str(none.value.hint)
    models.add(store, "one", folder)
    assert asked() == "one"
    models.add(store, "two", folder)
    with pytest.raises(UsageError, match="Installed are: one, two"):
        asked()
