"""What the ledger needs of a database: documents by id, with compare-and-set.

Two backends: Elasticsearch, which every host sees, and a SQLite file in MSM_HOME for `--local` where
there is no Elasticsearch. The ledger is written once, on top of this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Table = Literal["jobs", "chunks", "dead"]
TABLES: tuple[Table, ...] = ("jobs", "chunks", "dead")
Body = dict[str, Any]


class Stale(Exception):
    """Somebody else wrote the document first: read it again and decide anew."""


class Exists(Exception):
    """A document of that id is there already."""


@dataclass(frozen=True)
class Stored:
    """A document as it was read, and the version that a replacement must name."""

    body: Body
    version: str


class Documents(Protocol):
    """Documents by table and id. Bodies are JSON objects; those with `created` are found newest first.

    Every method raises `Unavailable` when the database does not answer.
    """

    def get(self, table: Table, key: str) -> Stored | None:
        """The present document (never an older one), or None."""

    def get_many(self, table: Table, keys: Sequence[str]) -> dict[str, Stored]:
        """The present documents of some ids; missing ones are left out."""

    def create(self, table: Table, key: str, body: Body) -> str:
        """Write a new document and return its version; raises `Exists`."""

    def create_many(self, table: Table, bodies: Mapping[str, Body]) -> None:
        """Write new documents; those that exist are left as they are."""

    def replace(self, table: Table, key: str, body: Body, version: str) -> str:
        """Replace the document that has this version and return the new one; raises `Stale`."""

    def delete_many(self, table: Table, keys: Iterable[str]) -> None:
        """Delete documents; missing ones do not matter."""

    def find(self, table: Table, field: str, values: Sequence[str], limit: int = 10_000) -> list[str]:
        """Ids of documents whose field has one of the values, newest first.

        May lag behind the writes of others by a second: whoever decides reads the document itself.
        """
