"""Indices of our own that are made by their first document, each from `es_mappings/<name>.json`."""

from __future__ import annotations

from elasticsearch import BadRequestError, Elasticsearch

from services.elastic.mapping import template


def ensure(client: Elasticsearch, index: str, table: str) -> None:
    """Make an index that is not there yet; two who make it at once both succeed.

    Args:
        client: May create it.
        index: Concrete name.
        table: Whose settings and mappings.
    """
    if client.indices.exists(index=index):
        return
    body = template(table)
    try:
        client.indices.create(
            index=index,
            settings=body["settings"],
            mappings=body["mappings"],
            wait_for_active_shards="all",
        )
    except BadRequestError as error:
        if error.error != "resource_already_exists_exception":
            raise
