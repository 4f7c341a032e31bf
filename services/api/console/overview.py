"""What the page needs to know first: collections, cross-encoders, fusion methods."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from services.api.authentication import allowed
from services.api.console.console import Console, Consoled
from services.api.keys.key import Key
from services.api.problems import responses
from services.collections.current import existing
from services.cross_encoders.models import installed
from services.cross_encoders.registry import CrossEncoders
from services.elastic import names
from services.search.fusion import known

router = APIRouter(tags=["console"])


@router.get("/v1/overview", responses=responses())
def overview(console: Consoled, key: Annotated[Key, Depends(allowed("search"))]) -> dict[str, Any]:
    """Collections that the key may ask, installed cross-encoders, fusion methods, what the key may do."""
    store = console.store
    return {
        "collections": [_described(console, name) for name in existing(store) if key.reaches(name)],
        "cross_encoders": [one.name for one in CrossEncoders.load(store) if installed(store, one)],
        "fusions": known(),
        "scopes": list(key.scopes),
    }


def _described(console: Console, name: str) -> dict[str, Any]:
    state = console.collection(name).state
    return {
        "name": name,
        "alias": names.passages_alias(console.settings, name),
        "passages": state.passage_count,
        "queries": state.query_count,
        "splits": sorted(state.splits, key=lambda split: (split != "train", split)),
        "fields": dict(state.fields),
    }
