"""Makes small collections in a temporary store, through the real importer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from services.collections.change import How
from services.collections.collection import Collection
from services.collections.importer import ImportRequest, import_collection
from services.collections.sources.source import Given, Numbered, Source
from services.collections.updater import update_collection
from services.store import Store

Judged = Iterable[tuple[str, str, int]]


class Rows(Source):
    """Records from memory."""

    label = "memory"

    def __init__(self, rows: Iterable[dict[str, object]]) -> None:
        self._rows = list(rows)

    def records(self) -> Iterator[Numbered]:
        yield from enumerate(self._rows, 1)

    def identity(self) -> list[str]:
        return [repr(self._rows)]


def given(
    passages: Mapping[str, str] | None = None,
    queries: Mapping[str, Mapping[str, str]] | None = None,
    qrels: Mapping[str, Judged] | None = None,
    delete: Iterable[str] = (),
) -> Given:
    removed = list(delete)
    return Given(
        passages=[Rows({"pid": pid, "text": text} for pid, text in passages.items())] if passages else [],
        queries=[
            (split, Rows({"qid": qid, "text": text} for qid, text in texts.items()))
            for split, texts in (queries or {}).items()
        ],
        qrels=[
            (split, Rows({"qid": qid, "pid": pid, "grade": grade} for qid, pid, grade in judged))
            for split, judged in (qrels or {}).items()
        ],
        delete=[Rows({"pid": pid} for pid in removed)] if removed else [],
    )


def make(folder: Path, *, name: str = "small", min_rel: int = 1, **what: object) -> Collection:
    """A new collection in the store `folder`/store; `what` as `given` takes it."""
    store = Store(str(folder / "store"))
    request = ImportRequest(name, given(**what), min_rel=min_rel)  # type: ignore[arg-type]
    import_collection(store, request, How(locks=folder / "locks"))
    return Collection.open(store, name)


def update(folder: Path, *, name: str = "small", **what: object) -> Collection:
    """The collection after an update."""
    store = Store(str(folder / "store"))
    update_collection(store, name, given(**what), How(locks=folder / "locks"))  # type: ignore[arg-type]
    return Collection.open(store, name)
