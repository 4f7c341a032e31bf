"""Small collections with real vectors of a tiny model, and index jobs run step by step."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from services.collections.change import How
from services.collections.collection import Collection
from services.collections.importer import ImportRequest, import_collection
from services.collections.sources.source import Given, Numbered, Source
from services.collections.updater import update_collection
from services.elastic import versions
from services.jobs.context import context_for
from services.jobs.kind import Context, Receipt
from services.jobs.kinds.encode import EncodeKind, EncodeSpec
from services.jobs.kinds.index import IndexKind, IndexSpec
from services.search.opened import blocking
from services.search.request import SearchRequest
from services.search.result import SearchResult
from services.settings import Settings
from services.store import Store
from services.systems.models import add
from tests.unit.tiny_model import WORDS, masked_language_model, tiny_model, with_modules

KIND = IndexKind()
QUERIES = {f"q{n}": f"who runs {WORDS[n]} {WORDS[n + 5]}" for n in range(12)}


class Rows(Source):
    """Records from memory."""

    label = "memory"

    def __init__(self, rows: Iterable[Mapping[str, object]]) -> None:
        self._rows = [dict(row) for row in rows]

    def records(self) -> Iterator[Numbered]:
        yield from enumerate(self._rows, 1)

    def identity(self) -> list[str]:
        return [repr(self._rows)]


def passages(count: int) -> list[dict[str, Any]]:
    """Different texts, with titles and typed metadata."""
    return [
        {
            "pid": f"p{n}",
            "title": f"the {WORDS[n % 26]}" if n % 3 else "",
            "text": f"{WORDS[n % 25]} of {WORDS[n // 25 % 25]} number {n}",
            "year": 1900 + n,
            "topic": WORDS[n % 7],
        }
        for n in range(count)
    ]


FIELDS = {"year": "integer", "topic": "keyword"}


class Bench:
    """A store of its own on the shared stack; collections and index versions of one test."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        # The stack's models process reads the stack's store.
        here = {"embed_url": "local", "rerank_url": "local"}
        self.settings = settings.model_copy(
            update={"store": str(folder / "store"), "device": "cpu", "threads": 1} | here
        )
        self.store = Store(self.settings.store_url)
        self.how = How(locks=folder / "locks")
        # What a worker may do is all that building takes.
        self.context: Context = context_for(self.settings, "worker")
        self.client = self.context.elastic()
        self._folder = folder
        self._names: set[str] = set()

    def add_system(self, name: str = "tiny", *, seed: int = 0, normalize: bool = True) -> str:
        """A dense system with a tiny model: cosine, or dot when not normalised."""
        made = tiny_model(self._folder / name, seed=seed)
        folder = with_modules(made, pooling="mean", normalize=normalize)
        return add(self.store, name, str(folder), **({} if normalize else {"similarity": "dot"}))[0].name

    def add_sparse_system(self, name: str = "weighed", *, seed: int = 0) -> str:
        """A sparse system with a tiny model."""
        folder = masked_language_model(self._folder / name, seed=seed)
        return add(self.store, name, str(folder), kind="sparse")[0].name

    def make(
        self,
        name: str,
        rows: Iterable[Mapping[str, object]],
        queries: Mapping[str, str] = QUERIES,
        fields: Mapping[str, Any] = FIELDS,
    ) -> Collection:
        """A new collection; its queries are the split `train`."""
        self._names.add(name)
        given = Given(passages=[Rows(rows)])
        if queries:
            given.queries.append(("train", Rows({"qid": q, "text": text} for q, text in queries.items())))
        import_collection(self.store, ImportRequest(name, given, fields=dict(fields)), self.how)
        return Collection.open(self.store, name)

    def update(
        self, name: str, rows: Iterable[Mapping[str, object]] = (), delete: Iterable[str] = ()
    ) -> Collection:
        """The collection after an update."""
        gone = [{"pid": pid} for pid in delete]
        given = Given(passages=[Rows(rows)] if rows else [], delete=[Rows(gone)] if gone else [])
        update_collection(self.store, name, given, self.how)
        return Collection.open(self.store, name)

    def encode(self, collection: Collection, system: str) -> None:
        """Vectors of a collection, in this process."""
        kind = EncodeKind()
        spec = EncodeSpec(
            collection=collection.name, collection_version=collection.state.version, system=system
        )
        kind.requires(self.context, spec)
        receipts = [kind.run_chunk(self.context, spec, chunk) for chunk in kind.plan(self.context, spec)]
        kind.finish(self.context, spec, receipts)

    def spec(self, collection: Collection, *systems: str, **more: Any) -> IndexSpec:
        """An index spec for the collection's present state."""
        return IndexSpec(
            collection=collection.name, collection_version=collection.state.version, systems=systems, **more
        )

    def job(self, n: int) -> Context:
        """The context of a job."""
        return dataclasses.replace(self.context, job_id=f"index-test-{n}")

    def load(self, context: Context, spec: IndexSpec) -> list[Receipt]:
        """Plan and run the chunks."""
        return [KIND.run_chunk(context, spec, chunk) for chunk in KIND.plan(context, spec)]

    def build(self, collection: Collection, *systems: str, job: int = 1, **more: Any) -> dict[str, Any]:
        """A whole job; its result."""
        for system in systems:
            self.encode(collection, system)
        spec, context = self.spec(collection, *systems, **more), self.job(job)
        return KIND.finish(context, spec, self.load(context, spec))

    def served(self, name: str) -> versions.Version:
        """The served version."""
        return versions.version(self.client, self.settings, name)

    def search(self, name: str, query: str = "", **request: Any) -> SearchResult:
        """The answer to a request, by an engine of its own."""
        with blocking(self.settings, self.store) as (runner, engine):
            return runner.run(engine.search(name, SearchRequest.parse({"query": query} | request)))

    def clean(self) -> None:
        """Remove every index of the test."""
        for name in self._names:
            for made in versions.versions(self.client, self.settings, name):
                versions.remove(self.client, made, orphan=True)
