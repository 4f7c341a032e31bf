"""What people see of index versions: one line each, everything about one, the differences of two."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from elasticsearch import Elasticsearch, NotFoundError

from services.elastic.errors import translated
from services.elastic.versions import Version

_VOLATILE = frozenset({"uuid", "creation_date", "provided_name", "version"})
_OWN = frozenset(
    {"version", "served", "passages_index", "queries_index", "bytes", "job", "created", "completed"}
)
"""What differs between any two versions."""


def summaries(client: Elasticsearch, listed: Iterable[Version]) -> list[dict[str, Any]]:
    """One flat record per version: name, state, counts, systems, size."""
    return [_summary(client, version) for version in listed]


def details(client: Elasticsearch, version: Version) -> dict[str, Any]:
    """The summary, the whole provenance, and the settings and mappings as Elasticsearch has them now."""
    with translated(f"reading {version.passages}"):
        passages = client.indices.get(index=version.passages)[version.passages]
        queries = client.indices.get(index=version.queries)[version.queries]
    meta = version.meta.model_dump(mode="json", exclude={"built"})
    return (
        meta
        | _summary(client, version)
        | {
            "systems": meta["systems"],
            "settings": {
                name: {key: value for key, value in part["settings"]["index"].items() if key not in _VOLATILE}
                for name, part in (("passages", passages), ("queries", queries))
            },
            "mappings": {
                name: part["mappings"].get("properties", {})
                for name, part in (("passages", passages), ("queries", queries))
            },
        }
    )


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[dict[str, Any]]:
    """The leaves in which two `details` differ: `what` (dotted path), `one`, `other` (None: not there).

    Names, times and sizes, which always differ, are left out, and so is what the gate measured.
    """
    left, right = (
        dict(_leaves({key: value for key, value in record.items() if key not in _OWN | {"gate"}}))
        for record in (one, other)
    )
    return [
        {"what": path, "one": left.get(path), "other": right.get(path)}
        for path in sorted(left.keys() | right.keys())
        if left.get(path) != right.get(path)
    ]


def _summary(client: Elasticsearch, version: Version) -> dict[str, Any]:
    passages, queries = size(client, version.passages), size(client, version.queries)
    return {
        "collection": version.collection,
        "version": version.n,
        "state": version.meta.state,
        "served": version.served,
        "passages": passages[0],
        "queries": queries[0],
        "systems": [system.name for system in version.meta.systems.values()],
        "vector_index": version.meta.vector_index if version.meta.systems else None,
        "bytes": passages[1] + queries[1],
        "passages_index": version.passages,
        "queries_index": version.queries,
        "collection_version": version.meta.collection_version,
        "reason": version.meta.reason,
        "job": version.meta.job,
        "created": version.meta.created,
        "completed": version.meta.completed,
    }


def size(client: Elasticsearch, index: str) -> tuple[int, int]:
    """Documents that can be found, and bytes on disk; zeros for an index that is not there yet."""
    with translated(f"reading the size of {index}"):
        try:
            found = client.indices.stats(index=index, metric=["docs", "store"])["indices"][index]
        except NotFoundError:
            return 0, 0
    return int(found["primaries"]["docs"]["count"]), int(found["primaries"]["store"]["size_in_bytes"])


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, value if isinstance(value, str | int | float | None) else json.dumps(value)
