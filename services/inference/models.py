"""What a search asks of models, wherever they run: query vectors, term weights, cross-encoder scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from services.deadline import Deadline
from services.elastic.mapping import ServedSystem
from services.encoding.weights import Weights

Floats = npt.NDArray[np.float32]
PromptKind = Literal["query", "passage"]


class Models(Protocol):
    """Encoders and cross-encoders. Every call ends by its deadline, whatever the models do."""

    async def embed(self, system: ServedSystem, texts: Sequence[str], deadline: Deadline) -> Floats:
        """Query vectors, float32 [texts, dims], of the very checkpoint that `system.model` names.

        Raises:
            NotFound: there is no such model.
            Conflict: it is another checkpoint than that of the index.
            TooLate: it cannot be done by the deadline. Overloaded: the queue is full.
            Unavailable: nobody answers.
        """

    async def weigh(self, system: ServedSystem, texts: Sequence[str], deadline: Deadline) -> Weights:
        """Term weights of queries by a sparse system. Raises: as `embed`."""

    async def rerank(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Floats:
        """Raw logits, float32 [texts]; scored in the order given, NaN from the first that was not reached.

        Raises:
            As `embed`; TooLate only where not one was scored.
        """


@dataclass(frozen=True)
class Embedded:
    """Vectors of texts, and whose.

    Attributes:
        vectors: float32 [texts, dims].
        tokens: Of all texts, prompts and special ones included; 0 where nobody counted.
        checkpoint: Fingerprint of the model's content; empty where a foreign server does not say.
    """

    vectors: Floats
    tokens: int
    checkpoint: str


@dataclass(frozen=True)
class Weighed:
    """Term weights of texts, and whose. Attributes: as of `Embedded`."""

    weights: Weights
    tokens: int
    checkpoint: str


@dataclass(frozen=True)
class Reranked:
    """Raw logits of texts, and whose.

    Attributes:
        scores: float32 [texts], NaN from the first that was not reached.
        tokens: Of all pairs; 0 where nobody counted.
        checkpoint: As of `Embedded`.
    """

    scores: Floats
    tokens: int
    checkpoint: str


class ModelService(Models, Protocol):
    """Models by name, for whoever offers them to others: the API's embedding and rerank endpoints."""

    async def embedded(
        self, model: str, texts: Sequence[str], kind: PromptKind, deadline: Deadline
    ) -> Embedded:
        """Vectors of queries or passages by a system of that name. Raises: as `embed`."""

    async def weighed(
        self, model: str, texts: Sequence[str], kind: PromptKind, deadline: Deadline
    ) -> Weighed:
        """Term weights of queries or passages by a sparse system of that name. Raises: as `embed`."""

    async def reranked(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Reranked:
        """What `rerank` gives, and whose it is."""

    async def warm(self, names: Sequence[str]) -> None:
        """Have models loaded, in the background: names of systems or cross-encoders. Never fails."""

    async def unready(self) -> list[str]:
        """Why not all that was asked to be warm is (who is away, what is loading, what failed); empty: it is.

        Asks within a second and never fails: for `/readyz`.
        """

    async def close(self) -> None:
        """Let connections and threads go."""
