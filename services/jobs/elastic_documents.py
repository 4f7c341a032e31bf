"""The ledger's documents in Elasticsearch: `<prefix>-jobs`, `-chunks`, `-dead`, for all hosts and Kibana.

Reads by id are real-time; `if_seq_no` and `if_primary_term` are the compare-and-set. Documents keep all
their fields, of which the mapping (`es_mappings/jobs.json` …) indexes those that people search.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from elasticsearch import BadRequestError, ConflictError, Elasticsearch, NotFoundError

from services.elastic.errors import of_status, reason, translated
from services.elastic.mapping import template
from services.errors import Unavailable
from services.jobs.documents import TABLES, Body, Exists, Stale, Stored, Table
from services.settings import Settings

_BLOCK = 500
_TIMEOUT = 15.0
"""Seconds: a heartbeat that hangs on a dead connection must not outlast the lease."""
_DOING = "ledger"
_VISIBLE: dict[Table, bool] = {"jobs": True, "chunks": False, "dead": True}
"""Tables whose writes are refreshed at once: few documents, and people look for them."""


class ElasticDocuments:
    """Documents in three indices, which are made where they are missing."""

    def __init__(self, client: Elasticsearch, settings: Settings) -> None:
        self._client = client = client.options(request_timeout=_TIMEOUT)
        self._index = {table: settings.index(table) for table in TABLES}
        with translated(_DOING):
            for table, index in self._index.items():
                if not client.indices.exists(index=index):
                    self._make(index, template(table))

    def get(self, table: Table, key: str) -> Stored | None:
        """See `Documents`."""
        with translated(_DOING):
            try:
                return _stored(self._client.get(index=self._index[table], id=key).body)
            except NotFoundError:
                return None

    def get_many(self, table: Table, keys: Sequence[str]) -> dict[str, Stored]:
        """See `Documents`."""
        found: dict[str, Stored] = {}
        for block in _blocks(keys):
            with translated(_DOING):
                answer = self._client.mget(index=self._index[table], ids=block)
            for doc in answer["docs"]:
                if "error" in doc:  # a shard that is not there yet is no missing document
                    raise Unavailable(f"{_DOING}: {reason(doc)}", hint="it passes by itself; try again")
                if doc["found"]:
                    found[doc["_id"]] = _stored(doc)
        return found

    def create(self, table: Table, key: str, body: Body) -> str:
        """See `Documents`."""
        with translated(_DOING):
            try:
                return _version(
                    self._client.create(
                        index=self._index[table], id=key, document=body, refresh=_VISIBLE[table]
                    ).body
                )
            except ConflictError:
                if version := self._ours(table, key, body):
                    return version
                raise Exists(key) from None

    def create_many(self, table: Table, bodies: Mapping[str, Body]) -> None:
        """See `Documents`."""
        for block in _blocks(list(bodies)):
            self._bulk(table, [line for key in block for line in ({"create": {"_id": key}}, bodies[key])])

    def replace(self, table: Table, key: str, body: Body, version: str) -> str:
        """See `Documents`."""
        seq_no, _, term = version.partition(".")
        with translated(_DOING):
            try:
                return _version(
                    self._client.index(
                        index=self._index[table],
                        id=key,
                        document=body,
                        refresh=_VISIBLE[table],
                        if_seq_no=int(seq_no),
                        if_primary_term=int(term),
                    ).body
                )
            except (ConflictError, NotFoundError):
                if present := self._ours(table, key, body):
                    return present
                raise Stale(key) from None

    def delete_many(self, table: Table, keys: Iterable[str]) -> None:
        """See `Documents`."""
        for block in _blocks(list(keys)):
            self._bulk(table, [{"delete": {"_id": key}} for key in block])

    def find(self, table: Table, field: str, values: Sequence[str], limit: int = 10_000) -> list[str]:
        """See `Documents`."""
        with translated(_DOING):
            answer = self._client.search(
                index=self._index[table],
                query={"terms": {field: list(values)}},
                size=limit,
                source=False,
                sort=[{"created": "desc"}],
                track_total_hits=False,
            )
        return [hit["_id"] for hit in answer["hits"]["hits"]]

    def _ours(self, table: Table, key: str, body: Body) -> str | None:
        """The document's version if it is what we wanted to write.

        The client repeats a request whose answer was lost; then the conflict is with our own write.
        """
        present = self.get(table, key)
        return present.version if present is not None and present.body == body else None

    def _bulk(self, table: Table, operations: list[dict[str, Any]]) -> None:
        with translated(_DOING):
            answer = self._client.bulk(
                index=self._index[table], operations=operations, refresh=_VISIBLE[table]
            )
        for item in answer["items"]:
            (outcome,) = item.values()
            if outcome["status"] >= 400 and outcome["status"] not in (404, 409):
                raise of_status(outcome["status"], f"{_DOING}: {reason(outcome)}")

    def _make(self, index: str, body: dict[str, Any]) -> None:
        with _already_there():
            self._client.indices.create(
                index=index,
                settings=body["settings"],
                mappings=body["mappings"],
                wait_for_active_shards="all",
            )


@contextmanager
def _already_there() -> Iterator[None]:
    """Two processes may make an index at once."""
    try:
        yield
    except BadRequestError as error:
        if error.error != "resource_already_exists_exception":
            raise


def _blocks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[start : start + _BLOCK] for start in range(0, len(keys), _BLOCK))


def _stored(document: Mapping[str, Any]) -> Stored:
    return Stored(document["_source"], _version(document))


def _version(document: Mapping[str, Any]) -> str:
    return f"{document['_seq_no']}.{document['_primary_term']}"
