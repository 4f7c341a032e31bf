"""Queries of a split, a query's candidates and their verdicts, and people's marks on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from services.api.console.console import Console
from services.collections.browse import beside as beside_
from services.collections.browse import with_words
from services.negatives.marks_store import MarksStore, parse_verdict
from services.negatives.opening import Asked, open_negatives
from services.negatives.show import find_split
from services.negatives.show import show as shown

_WORDS = 500
_LISTED = 200
_FILTERS = 20


class Said(BaseModel):
    """A person's verdict."""

    model_config = ConfigDict(extra="forbid")

    qid: str
    pid: str
    verdict: str = Field(max_length=40)
    reason: str = Field(min_length=1, max_length=500)


def router(console: Console, person: Callable[..., str]) -> APIRouter:
    """The routes under `/v1/collections/{collection}`.

    Args:
        console: What they work on.
        person: Dependency: who asks, as marks name them.
    """
    routes = APIRouter(prefix="/v1/collections/{collection}", tags=["negatives"])

    def marks() -> MarksStore:
        return MarksStore(console.elastic, console.settings)

    @routes.get("/queries")
    def queries(
        collection: str,
        split: str,
        words: Annotated[str, Query(max_length=_WORDS)] = "",
        beside: str | None = None,
        by: Annotated[int, Query(ge=-1, le=1)] = 1,
        limit: Annotated[int, Query(ge=1, le=_LISTED)] = 50,
    ) -> dict[str, Any]:
        """Queries of a split that hold all words; or the one after (`by` -1: before) the query `beside`."""
        opened = console.collection(collection)
        if beside is not None:
            return {"queries": beside_(opened, split, beside, by)}
        return {"queries": with_words(opened, split, words, limit)}

    @routes.get("/negatives")
    def negatives(
        collection: str,
        qid: str,
        split: str | None = None,
        ce: str | None = None,
        filter: Annotated[list[str] | None, Query(max_length=_FILTERS)] = None,
    ) -> dict[str, Any]:
        """A query's candidates, as `msmctl negatives show --json`."""
        opened = console.collection(collection)
        chosen = split or find_split(opened, qid)
        asked = Asked(chosen, ce=ce, filters=tuple(filter or ()), marks=marks().of(opened))
        return shown(open_negatives(opened, asked, judge=True), qid)

    @routes.put("/marks")
    def mark(collection: str, said: Said, by: Annotated[str, Depends(person)]) -> dict[str, Any]:
        """Say what a passage is as an answer to a query."""
        opened, verdict = console.collection(collection), parse_verdict(said.verdict)
        return marks().mark(opened, said.qid, said.pid, verdict, said.reason, by=by)

    @routes.delete("/marks")
    def unmark(collection: str, qid: str, pid: str, by: Annotated[str, Depends(person)]) -> dict[str, Any]:
        """Take a mark back; its history stays."""
        return marks().unmark(console.collection(collection), qid, pid, by=by)

    return routes
