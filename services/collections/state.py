"""The manifest of a collection: which immutable parts make up its present state."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from services.errors import MsmError
from services.store import Part, fingerprint

FieldType = Literal["keyword", "integer", "float", "date", "boolean"]
SCHEMA_VERSION = 1


class CollectionState(BaseModel):
    """One state of a collection. A change makes a new state with `version + 1`; parts are only added.

    Tables (parquet):
        passages: ord int32 · pid string · title string (nullable) · text string · `meta.<field>` typed.
        queries: qord int32 · qid string · text string.
        tombstones, query_tombstones: one int32 column `ord`, the positions that no longer count.
        splits[s]: one int32 column `qord`, the split's queries, ascending.
        qrels[s]: qid string · pid string · grade int32, as given, zero grades included.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA_VERSION
    name: str
    version: int = 1
    created: str
    updated: str
    sources: list[str] = []
    fields: dict[str, FieldType] = {}
    min_rel: int = 1
    integer_ids: bool = False
    """Every pid and qid is canonical decimal below 2^63."""
    request: str = ""
    """Fingerprint of what was imported and how; the same again is fresh. An update clears it."""
    rejected: int = 0
    """Bad rows that were left out on the way to this state (`rejects/<version>.jsonl`)."""

    passages: list[Part] = []
    tombstones: list[Part] = []
    queries: list[Part] = []
    query_tombstones: list[Part] = []
    splits: dict[str, list[Part]] = {}
    qrels: dict[str, list[Part]] = {}

    passage_count: int = 0
    """Ords given out so far, tombstones included."""
    query_count: int = 0
    live_passages: int = 0
    live_queries: int = 0

    @property
    def is_pooled(self) -> bool:
        """Whether judgements are graded and pooled as TREC's, over what may be a larger collection."""
        return self.min_rel > 1

    @cached_property
    def passages_fingerprint(self) -> str:
        """Hash of what passages say and which of them count."""
        return fingerprint(
            [[part.sha256 for part in self.passages], [part.sha256 for part in self.tombstones]]
        )

    @cached_property
    def queries_fingerprint(self) -> str:
        """Hash of what queries say and which of them count."""
        return fingerprint(
            [[part.sha256 for part in self.queries], [part.sha256 for part in self.query_tombstones]]
        )

    def split_fingerprint(self, split: str) -> str:
        """Hash of a split's queries and qrels."""
        return fingerprint(
            [
                self.queries_fingerprint,
                [part.sha256 for part in self.splits.get(split, [])],
                [part.sha256 for part in self.qrels.get(split, [])],
                self.min_rel,
            ]
        )

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the whole state; times and sources do not count."""
        return fingerprint(
            [
                self.passages_fingerprint,
                {split: self.split_fingerprint(split) for split in sorted(self.splits)},
                self.fields,
                self.min_rel,
            ]
        )


def parse_state(raw: Any, where: str) -> CollectionState:
    """A manifest's content as a state.

    Args:
        raw: The JSON value.
        where: The file, for the message.

    Raises:
        MsmError: it is no state, or one of a newer msmctl.
    """
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise MsmError(
            f"{where}: has schema_version {version}; this msmctl reads up to {SCHEMA_VERSION}",
            hint="use the newer msmctl that wrote it",
        )
    try:
        return CollectionState.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise MsmError(
            f"{where}: damaged: {f'{place}: ' if place else ''}{first['msg']}",
            hint="restore the file from a backup, or `msmctl collection rm NAME --yes` and import it again",
        ) from None
