"""Numbered indices behind an alias: what index versions and published negatives share.

A version belongs to the job that builds it, carries what it was made from in `_meta`, and is never changed
once it is complete. Readers ask the alias, which moves in one call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from elasticsearch import BadRequestError, Elasticsearch, NotFoundError
from pydantic import BaseModel, ValidationError

from services.elastic import names
from services.elastic.errors import translated
from services.settings import Settings

KEPT = 2
"""Old complete versions that stay after a swap, to roll back to."""


class Meta(Protocol):
    """What a `_meta` says of its version's life."""

    @property
    def state(self) -> str:
        """`building`, `complete` or `failed`."""

    @property
    def job(self) -> str:
        """Id of the job that builds it."""


class Numbered(Protocol):
    """A version."""

    @property
    def n(self) -> int:
        """Its number."""

    @property
    def served(self) -> bool:
        """Whether the alias points to it."""

    @property
    def meta(self) -> Meta:
        """What it was made from."""


V = TypeVar("V", bound=Numbered)
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Found(Generic[M]):
    """An index of ours as the cluster has it."""

    collection: str
    n: int
    index: str
    meta: M
    aliases: frozenset[str]


def existing(
    client: Elasticsearch, settings: Settings, content: names.Content, meta: type[M], collection: str | None
) -> list[Found[M]]:
    """The versions of a content, of one collection or of all, ascending by collection and number.

    An index that has the name of a version but not our `_meta` is none of ours and is left out.
    """
    with translated(f"listing the versions of {content}"):
        there = client.indices.get(**listing(settings, content, collection)).body
    return told(there, settings, content, meta, collection)


def listing(settings: Settings, content: names.Content, collection: str | None) -> dict[str, Any]:
    """What `indices.get` is asked for the versions of a content."""
    return {
        "index": settings.index(collection or "*", content, "v*"),
        "features": ["mappings", "aliases"],
        "allow_no_indices": True,
    }


def told(
    there: Mapping[str, Any],
    settings: Settings,
    content: names.Content,
    meta: type[M],
    collection: str | None,
) -> list[Found[M]]:
    """The versions in an answer to `listing`; see `existing`."""
    found = []
    for index, parts in there.items():
        parsed = names.parse(settings, index)
        if parsed is None or parsed[1] != content or (collection and parsed[0] != collection):
            continue
        with suppress(ValidationError):
            made_from = meta.model_validate(parts["mappings"].get("_meta"))
            found.append(Found(parsed[0], parsed[2], index, made_from, frozenset(parts.get("aliases", {}))))
    return sorted(found, key=lambda one: (one.collection, one.n))


def next_number(
    client: Elasticsearch, settings: Settings, collection: str, contents: Sequence[names.Content]
) -> int:
    """One more than every number in use, those of half-made and foreign indices included."""
    with translated("listing index versions"):
        there = client.indices.get(
            index=settings.index(collection, "*"), features=["aliases"], allow_no_indices=True
        ).body
    parsed = (names.parse(settings, index) for index in there)
    return max((p[2] for p in parsed if p and p[0] == collection and p[1] in contents), default=0) + 1


def create(client: Elasticsearch, index: str, body: dict[str, Any], meta: BaseModel) -> bool:
    """Make an index; False where it is there already."""
    mappings = body["mappings"] | {"_meta": meta.model_dump(mode="json")}
    with translated(f"creating {index}"):
        try:
            client.indices.create(index=index, settings=body["settings"], mappings=mappings)
        except BadRequestError as error:
            if error.error != "resource_already_exists_exception":
                raise
            return False
    return True


def point(client: Elasticsearch, targets: Mapping[str, str]) -> None:
    """Point aliases at their indices, all in one atomic call. Nothing happens where they do already.

    Args:
        client: With the right to manage the indices.
        targets: Concrete index by alias.
    """
    actions: list[dict[str, Any]] = []
    for alias, index in targets.items():
        # must_exist false: the client may send the call twice.
        actions += [
            {"remove": {"index": old, "alias": alias, "must_exist": False}}
            for old in _pointed(client, alias)
            if old != index
        ]
        actions.append({"add": {"index": index, "alias": alias}})
    with translated(f"pointing {', '.join(targets)} to {', '.join(targets.values())}"):
        client.indices.update_aliases(actions=actions)


def superseded(there: Sequence[V], ended: Callable[[str], bool]) -> list[V]:
    """What may go: older than the served version, but for the two newest complete ones, and ruins.

    Args:
        there: All versions of a collection, ascending.
        ended: Whether a job works no more: what it has not completed by then nobody will.
    """
    now = next((v.n for v in there if v.served), 0)
    old = [v for v in there if v.n < now and v.meta.state != "building"]
    kept = {v.n for v in [v for v in old if v.meta.state == "complete"][-KEPT:]}
    ruins = [v for v in there if v.meta.state == "building" and ended(v.meta.job)]
    return [v for v in old if v.n not in kept] + ruins


def _pointed(client: Elasticsearch, alias: str) -> list[str]:
    with translated(f"reading the alias {alias}"):
        try:
            return sorted(client.indices.get_alias(name=alias).body)
        except NotFoundError:
            return []
