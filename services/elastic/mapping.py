"""Settings and mappings of the two indices of a version, from `es_mappings/*.json`.

Passages: pid, ord, title, text, `meta.<field>` by type, `vectors.<slug>` per served system. `text` holds
the one text of a passage (`services.collections.text.passage_text`: title, space, text), so that BM25
ranks exactly what is encoded and reranked; `title` is kept beside it for display and for filters.
Queries: qid, qord, split, text, `vectors.<slug>` unindexed: they are looked up, never searched.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict

from services.collections.state import FieldType
from services.errors import InputError

VectorIndex = Literal["hnsw", "int8_hnsw", "bbq_hnsw", "flat"]
QUANTISED = frozenset({"int8_hnsw", "bbq_hnsw"})
MAX_DIMS = 4096
MIN_BBQ_DIMS = 64
_FIELD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}")


class ServedSystem(BaseModel):
    """A system whose vectors, or term weights, an index version holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    slug: str
    dims: int
    similarity: Literal["cosine", "dot"]
    fingerprint: str
    """Of the vectors: model content, prompts, max length, dtype and texts."""
    model: str
    """Fingerprint of the model's content."""
    kind: Literal["dense", "sparse"] = "dense"
    """Of `sparse` systems the dims are the size of the vocabulary, and the similarity is the dot product."""

    @property
    def field(self) -> str:
        """Where its vectors are."""
        return f"vectors.{self.slug}"


@cache
def _template(name: str) -> str:
    return files("es_mappings").joinpath(f"{name}.json").read_text("utf-8")


def template(name: str) -> dict[str, Any]:
    """A fresh copy of `es_mappings/<name>.json`."""
    return cast(dict[str, Any], json.loads(_template(name)))


def passages_body(
    fields: dict[str, FieldType], systems: list[ServedSystem], vector_index: VectorIndex
) -> dict[str, Any]:
    """`settings` and `mappings` of a passages index.

    Raises:
        InputError: a field's name cannot be a field of Elasticsearch, or vectors are too long.
    """
    body = template("passages")
    properties = body["mappings"]["properties"]
    types = template("fields")["meta"]
    if fields:
        for name in fields:
            check_field(name)
        properties["meta"] = {"properties": {name: types[kind] for name, kind in sorted(fields.items())}}
    _add_vectors(properties, {system.slug: _indexed(system, vector_index) for system in systems})
    return body


def queries_body(systems: list[ServedSystem]) -> dict[str, Any]:
    """`settings` and `mappings` of a queries index."""
    body = template("queries")
    stored = {
        system.slug: {"type": "dense_vector", "dims": system.dims, "index": False}
        for system in systems
        if system.kind == "dense"
    }
    _add_vectors(body["mappings"]["properties"], stored)
    return body


def check_field(name: str) -> None:
    """Refuse a metadata name that Elasticsearch would nest, reject or read as something else.

    Raises:
        InputError: the name is not of letters, digits, '_' and '-'.
    """
    if not _FIELD_NAME.fullmatch(name):
        raise InputError(
            f"metadata field {name!r}: not a name that can be indexed",
            hint="use letters, digits, '_' and '-', at most 100, and no '-' in front "
            "(a '.' would nest); rename the field and import again",
        )


def _indexed(system: ServedSystem, vector_index: VectorIndex) -> dict[str, Any]:
    if system.kind == "sparse":
        # Whole: pruning by default is tuned for another model, and loses matches. Terms are token ids, as
        # the tokens themselves may hold a '.', which Elasticsearch refuses.
        return {"type": "sparse_vector", "index_options": {"prune": False}}
    if not 0 < system.dims <= MAX_DIMS:
        raise InputError(
            f"system '{system.name}': vectors of {system.dims} dimensions; "
            f"Elasticsearch takes 1 to {MAX_DIMS:,}"
        )
    if vector_index == "bbq_hnsw" and system.dims < MIN_BBQ_DIMS:
        raise InputError(
            f"system '{system.name}': bbq_hnsw needs {MIN_BBQ_DIMS} dimensions, not {system.dims}",
            hint="build with `--vector-index hnsw`",
        )
    tables = template("fields")
    return {
        "type": "dense_vector",
        "dims": system.dims,
        "index": True,
        "similarity": tables["similarity"][system.similarity],
        "index_options": tables["vector_index"][vector_index],
    }


def _add_vectors(properties: dict[str, Any], vectors: dict[str, dict[str, Any]]) -> None:
    if vectors:
        properties["vectors"] = {"properties": dict(sorted(vectors.items()))}
