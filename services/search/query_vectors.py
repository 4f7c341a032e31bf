"""Where a query's vector comes from: the system's encoder, in this process.

The one seam for a models process: whoever serves models elsewhere replaces `QueryVectors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.elastic.mapping import ServedSystem
from services.encoding.encoder import load_encoder
from services.errors import Conflict
from services.settings import Settings
from services.store import Store
from services.systems.models import installed
from services.systems.registry import Registry

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class QueryVectors:
    """Encodes queries with the models of a store."""

    store: Store
    settings: Settings

    def __call__(self, system: ServedSystem, texts: Sequence[str]) -> Floats:
        """Vectors of query texts, float32 [texts, dims].

        Raises:
            NotFound: the model is not in the store.
            Conflict: the index holds vectors of another checkpoint, which are not comparable.
        """
        known = Registry.load(self.store).get(system.name)
        encoder = load_encoder(self.store, known, self.settings)
        model = installed(self.store, known)
        if model is None or model.fingerprint != system.model:
            raise Conflict(
                f"the index holds vectors of another checkpoint of '{system.name}' than the store's",
                hint=f"`msmctl index build --system {system.name}` indexes the present one",
            )
        return encoder.encode(texts, prompt="query")
