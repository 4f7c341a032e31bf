"""What an index version was made from, kept in the `_meta` of its mappings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from services.collections.collection import Collection
from services.collections.state import FieldType
from services.elastic.mapping import ServedSystem, VectorIndex, template
from services.store import fingerprint

State = Literal["building", "complete", "failed"]

TEXT_RULE = "title + ' ' + text"
PROBE = "The running dogs and John's houses"
"""What `_analyze` is asked before a swap."""
PROBE_TERMS = (("run", 1), ("dog", 2), ("john", 4), ("hous", 5))
"""Terms and positions that Lucene's EnglishAnalyzer makes of it."""


class Provenance(BaseModel):
    """The `_meta` of both indices of a version.

    Attributes:
        state: `complete` only after the gate has passed; nothing else is served or mined.
        reason: Why it failed.
        job: The job that builds it: the same job never makes a second version.
        text_fingerprint: Of the text rule, analysis and BM25 parameters.
        built: The settings and mappings as created, so that a later change can be seen.
        gate: What the gate measured.
        dead: Rows that the mapping refused.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: int = 1
    collection: str
    collection_version: int
    passages_fingerprint: str
    queries_fingerprint: str
    text_fingerprint: str
    fields: dict[str, FieldType]
    systems: dict[str, ServedSystem]
    vector_index: VectorIndex
    software_version: str
    job: str
    created: str
    state: State = "building"
    reason: str = ""
    completed: str = ""
    dead: int = 0
    gate: dict[str, Any] = {}
    built: dict[str, Any] = {}

    def holds_text(self, collection: Collection) -> bool:
        """Whether BM25 on this version ranks the collection's present passages as a new build would."""
        return (
            self.passages_fingerprint == collection.state.passages_fingerprint
            and self.text_fingerprint == text_fingerprint()
        )


def text_fingerprint() -> str:
    """Of all that decides BM25 scores besides the passages themselves."""
    body = template("passages")
    index = body["settings"]["index"]
    return fingerprint(
        [
            TEXT_RULE,
            index["similarity"],
            index["analysis"],
            index["sort"],
            body["mappings"]["properties"]["text"],
        ]
    )
