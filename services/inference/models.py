"""What a search asks of models, wherever they run: query vectors and cross-encoder scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from services.deadline import Deadline
from services.elastic.mapping import ServedSystem

Floats = npt.NDArray[np.float32]


class Models(Protocol):
    """Encoders and cross-encoders. Every call ends by its deadline, whatever the models do."""

    async def embed(self, system: ServedSystem, texts: Sequence[str], deadline: Deadline) -> Floats:
        """Query vectors, float32 [texts, dims], of the very checkpoint that `system.model` names.

        Raises:
            NotFound: there is no such model.
            Conflict: it is another checkpoint than that of the index.
            TooLate: the deadline passed. Overloaded: the queue is full.
            Unavailable: nobody answers.
        """

    async def rerank(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Floats:
        """Raw logits, float32 [texts]; scored in the order given, NaN from the first that was not reached.

        Raises:
            As `embed`; TooLate only where not one was scored.
        """
