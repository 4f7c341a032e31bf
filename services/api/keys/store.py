"""Keys in Elasticsearch: `<prefix>-keys`, one document per key, for the commands that manage them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from elasticsearch import Elasticsearch, NotFoundError

from services.api.keys.key import Key
from services.elastic.errors import translated
from services.elastic.own_index import ensure
from services.errors import NotFound
from services.settings import Settings

TABLE = "keys"
_MOST = 10_000


class KeyStore:
    """All keys; the index is made by the first one.

    Args:
        client: May read and write `<prefix>-keys`.
        settings: The prefix counts.
    """

    def __init__(self, client: Elasticsearch, settings: Settings) -> None:
        self._client = client
        self._index = settings.index(TABLE)

    def add(self, key: Key) -> None:
        """Keep a new key."""
        with translated("keys"):
            ensure(self._client, self._index, TABLE)
            self._client.index(
                index=self._index,
                id=key.id,
                document=key.model_dump(mode="json"),
                op_type="create",
                refresh=True,
            )

    def all(self) -> list[Key]:
        """Every key, the newest first; at most 10,000."""
        with translated("keys"):
            try:
                answer = self._client.search(
                    index=self._index, size=_MOST, sort=[{"created": "desc"}, {"id": "asc"}]
                )
            except NotFoundError:
                return []
        return [Key.model_validate(hit["_source"]) for hit in answer["hits"]["hits"]]

    def revoke(self, identity: str) -> Key:
        """Refuse a key from now on; one that is revoked stays as it is.

        Raises:
            NotFound: there is no such key.
        """
        with translated("keys"):
            try:
                source: dict[str, Any] = self._client.get(index=self._index, id=identity)["_source"]
            except NotFoundError as error:
                raise NotFound(f"there is no key '{identity}'", hint="`msmctl api keys ls`") from error
            key = Key.model_validate(source)
            if key.revoked is None:
                # No compare-and-set: the only change that a key ever sees is this one.
                key = key.model_copy(update={"revoked": datetime.now(UTC).replace(microsecond=0)})
                self._client.index(
                    index=self._index, id=identity, document=key.model_dump(mode="json"), refresh=True
                )
        return key
