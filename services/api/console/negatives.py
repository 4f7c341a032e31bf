"""Queries of a split, a query's candidates and their verdicts, and people's marks on them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from services.api.authentication import allowed
from services.api.collections import Collection
from services.api.console.console import Console, Consoled
from services.api.keys.key import Key
from services.api.problems import responses
from services.api.strict_json import StrictRoute
from services.collections import browse
from services.negatives.marks_store import MarksStore, parse_verdict
from services.negatives.opening import Asked, open_negatives
from services.negatives.show import find_split
from services.negatives.show import show as shown

router = APIRouter(prefix="/v1/collections/{collection}", route_class=StrictRoute, tags=["negatives"])
Admin = Annotated[Key, Depends(allowed("admin"))]
Id = Annotated[str, Field(min_length=1, max_length=512)]


class Said(BaseModel):
    """A person's verdict on a passage as an answer to a query."""

    model_config = ConfigDict(extra="forbid")

    qid: Id
    pid: Id
    verdict: str = Field(max_length=40)
    reason: str = Field(min_length=1, max_length=500)


@router.get("/queries", responses=responses(404))
def queries(
    console: Consoled,
    _: Admin,
    collection: Collection,
    split: str,
    words: Annotated[str, Query(max_length=500)] = "",
    beside: str | None = None,
    by: Annotated[int, Query(ge=-1, le=1)] = 1,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """Queries of a split that hold all words; or the one after (`by` -1: before) the query `beside`."""
    opened = console.collection(collection)
    if beside is not None:
        return {"queries": browse.beside(opened, split, beside, by)}
    return {"queries": browse.with_words(opened, split, words, limit)}


@router.get("/negatives", responses=responses(404))
def negatives(
    console: Consoled,
    _: Admin,
    collection: Collection,
    qid: Annotated[str, Query(min_length=1, max_length=512)],
    split: str | None = None,
    ce: str | None = None,
    filter: Annotated[tuple[str, ...], Query(max_length=20)] = (),
) -> dict[str, Any]:
    """A query's candidates, as `msmctl negatives show --json`."""
    opened = console.collection(collection)
    marks = _marks(console).of(opened)
    asked = Asked(split or find_split(opened, qid), ce=ce, filters=filter, marks=marks)
    return shown(open_negatives(opened, asked, judge="clear"), qid)


@router.put("/marks", responses=responses(404, 409))
def mark(console: Consoled, key: Admin, collection: Collection, said: Said) -> dict[str, Any]:
    """Say what a passage is as an answer to a query."""
    opened, verdict = console.collection(collection), parse_verdict(said.verdict)
    return _marks(console).mark(opened, said.qid, said.pid, verdict, said.reason, by=_person(key))


@router.delete("/marks", responses=responses(404, 409))
def unmark(console: Consoled, key: Admin, collection: Collection, qid: str, pid: str) -> dict[str, Any]:
    """Take a mark back; its history stays."""
    return _marks(console).unmark(console.collection(collection), qid, pid, by=_person(key))


def _marks(console: Console) -> MarksStore:
    return MarksStore(console.elastic, console.settings)


def _person(key: Key) -> str:
    """Who marked, as the history tells it."""
    return f"key {key.name or key.id}"
