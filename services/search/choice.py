"""What was chosen for a collection by `msmctl tune hybrid --save`: how it answers who asks for nothing else.

`collections/<c>/search.json` in the store.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from services.errors import MsmError
from services.search.request import SearchRequest
from services.store import Store


class Choice(BaseModel):
    """How a collection is searched, and why.

    Attributes:
        mode: Which legs.
        systems: Served systems that `mode` means; none: all.
        fusion: The method; None where one leg answers alone.
        params: Its parameters.
        split, measure, labels, queries: What it was chosen by.
        gain, low, high: Of fusion over the better leg, with its 95 % interval.
        saved: When, UTC, ISO 8601.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["hybrid", "bm25", "dense", "sparse"]
    systems: tuple[str, ...] = ()
    fusion: str | None = None
    params: dict[str, float] = {}
    split: str
    measure: str
    labels: Literal["qrels", "ce"]
    queries: int
    gain: float
    low: float
    high: float
    saved: str

    def applied(self, request: SearchRequest) -> SearchRequest:
        """The request with this in place of what it leaves open: legs, and how they are fused."""
        changes: dict[str, object] = {}
        if _legs_open(request):
            changes |= {"mode": self.mode, "systems": self.systems}
        if _fusion_open(request) and self.fusion is not None:
            changes |= {"fusion": self.fusion, "params": self.params}
        return request.model_copy(update=changes) if changes else request


def leaves_open(request: SearchRequest) -> bool:
    """Whether a request leaves open what a choice may fill in."""
    return _legs_open(request) or _fusion_open(request)


def load(store: Store, collection: str) -> Choice | None:
    """What is saved for a collection.

    Raises:
        MsmError: it is damaged.
        Unavailable, AuthError: the store's own errors.
    """
    key = _key(collection)
    try:
        return Choice.model_validate_json(store.read_bytes(key))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise MsmError(
            f"{store.location(key)} is no saved choice",
            hint=f"`msmctl tune forget --collection {collection}` removes it",
        ) from error


def save(store: Store, collection: str, choice: Choice) -> None:
    """Save, in place of what was saved before."""
    store.write_json(_key(collection), choice.model_dump(mode="json"))


def forget(store: Store, collection: str) -> bool:
    """Remove what was saved; whether there was anything."""
    there = store.exists(_key(collection))
    if there:
        store.remove(_key(collection))
    return there


def _legs_open(request: SearchRequest) -> bool:
    return not (request.mode or request.systems or request.legs)


def _fusion_open(request: SearchRequest) -> bool:
    return request.fusion is None and not request.params


def _key(collection: str) -> str:
    return f"collections/{collection}/search.json"
