"""The search: legs in one `_msearch`, missing scores in a second, fusion here, then the hits' texts.

A cross-encoder may order the head. All of it is done by a deadline; what is late or broken is left out and
told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from elasticsearch import AsyncElasticsearch

from services.deadline import Deadline
from services.inference.models import Models
from services.search.ask import Ask, Ranked
from services.search.request import SearchRequest
from services.search.result import SearchResult
from services.search.served import ServedVersions
from services.settings import Settings


@dataclass(frozen=True)
class Engine:
    """Searches the served index of collections. Belongs to one event loop; safe for many requests at once.

    Attributes:
        client: Whose rights decide what is read; `dataclasses.replace(engine, client=…)` for a caller's own.
        settings: For names and parallel requests.
        models: Encoders and cross-encoders.
        served: What is served.
    """

    client: AsyncElasticsearch
    settings: Settings
    models: Models
    served: ServedVersions

    async def search(
        self, collection: str, request: SearchRequest, deadline: Deadline | None = None
    ) -> SearchResult:
        """Answer one request.

        Args:
            collection: Whose served index answers.
            request: What is asked.
            deadline: From the receipt of the request; None: `budget_ms` from now.

        Raises:
            NotFound: nothing is served, or not what is asked; no such stored query.
            UsageError: an unknown filter field, fusion method or parameter.
            Unavailable: Elasticsearch is lost, or not one leg answered.
            Conflict, InputError: the only leg cannot be asked (another checkpoint, too many terms).
        """
        raise NotImplementedError

    async def rank(self, ask: Ask) -> Ranked:
        """One page of the answer to a resolved question.

        Raises:
            Unavailable: Elasticsearch is lost, or not one leg answered.
            AuthError: this client may not read the index.
            The error of the legs where all failed for their own fault. The node's own error, where there is
            one, is its `__cause__` (`ApiError`, or `services.search.failures.Refused` of an `_msearch` item).
        """
        return (await self.rank_many(ask, [ask.text]))[0]

    async def rank_many(self, ask: Ask, texts: Sequence[str]) -> list[Ranked]:
        """The same question for many texts, as `evaluate` asks: legs of all texts go together.

        Args:
            ask: As for `rank`; its own text does not count.
            texts: The queries.
        """
        raise NotImplementedError
