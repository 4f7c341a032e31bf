"""The fields that es_mappings declares, by their dotted names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from services.elastic.mapping import template


@cache
def field_types(mapping: str) -> dict[str, str]:
    """Elasticsearch's type by field of `es_mappings/<mapping>.json`."""
    return dict(_flat(template(mapping)["mappings"]["properties"]))


def _flat(properties: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, field in properties.items():
        if "properties" in field:
            yield from _flat(field["properties"], f"{above}{name}.")
        else:
            yield f"{above}{name}", field["type"]
            yield from _flat(field.get("fields", {}), f"{above}{name}.")
