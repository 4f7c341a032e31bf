"""Each test of this folder runs on both ledgers: a file, and the real Elasticsearch."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.jobs import registry
from services.jobs.documents import TABLES, Documents
from services.jobs.kind import Context
from services.jobs.ledger import Ledger
from services.jobs.sqlite_documents import SqliteDocuments
from services.settings import Settings
from services.store import Store
from tests.integration.jobs import scripted_kind


@pytest.fixture(scope="module", params=["file", "elasticsearch"])
def documents(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Documents]:
    if request.param == "file":
        yield SqliteDocuments(tmp_path_factory.mktemp("ledger") / "ledger.sqlite")
        return
    from services.elastic.client import connect
    from services.jobs.elastic_documents import ElasticDocuments

    settings = request.getfixturevalue("stack").settings
    # Indices of its own, which the stack's dispatcher does not look at; the role allows <prefix>-*.
    apart = settings.model_copy(update={"prefix": f"{settings.prefix}-t{uuid.uuid4().hex[:8]}"})
    client = connect(settings, "admin")
    yield ElasticDocuments(client, apart)
    for table in TABLES:
        client.indices.delete(index=apart.index(table), ignore_unavailable=True)


@pytest.fixture
def ledger(documents: Documents) -> Ledger:
    return Ledger(documents, shared=False)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    settings = Settings(home=tmp_path, lease_seconds=0.6, window=4, max_attempts=3)

    def nobody() -> None:
        raise AssertionError("these jobs need no Elasticsearch")

    return Context(settings=settings, store=Store(str(tmp_path / "store")), elastic=nobody)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[scripted_kind.Script], str]]:
    """Registers what the chunks of a job shall do and gives its name, for `ScriptedSpec(script=…)`."""
    monkeypatch.setitem(registry._KINDS, "scripted", "tests.integration.jobs.scripted_kind:ScriptedKind")
    scripted_kind.scripts["plain"] = lambda context, chunk: None

    def register(what: scripted_kind.Script) -> str:
        name = uuid.uuid4().hex
        scripted_kind.scripts[name] = what
        return name

    yield register
    scripted_kind.scripts.clear()
    scripted_kind.artefacts.clear()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.jobs.failures._FIRST_WAIT", 0.01)
    monkeypatch.setattr("services.jobs.flight._FIRST_PATIENCE", 0.1)
