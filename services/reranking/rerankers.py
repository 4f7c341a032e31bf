"""What gives pairs their scores: a cross-encoder, or a bi-encoder's exact similarity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from services.collections.collection import Collection
from services.cross_encoders.cross_encoder import CrossEncoder
from services.cross_encoders.models import InstalledModel
from services.encoding.blocks import halving
from services.errors import UsageError
from services.mining.ranking import Ords, Scores
from services.reranking.pairs import Texts
from services.settings import Settings
from services.store import Store
from services.systems.system import System

if TYPE_CHECKING:
    from services.encoding.encoder import DenseEncoder
    from services.scoring.scorer import Scorer
    from services.scoring.scores import Scores as StoredScores

Progress = Callable[[int], None]
Source = Literal["stored", "computed"]


@dataclass
class Found:
    """Scores [pairs], NaN where there is none, and why, by position; `stored` of them were not computed."""

    scores: Scores
    dead: dict[int, str] = field(default_factory=dict)
    stored: int = 0


class Reranker(ABC):
    """A model by which lists are ordered.

    Attributes:
        name: Of the cross-encoder or system.
        noun: Which of the two it is.
        fingerprint: Of all that decides a score but the texts.
        vectors: Where a bi-encoder's vectors come from; a cross-encoder's scores are the same either way.
    """

    name: str
    noun: Literal["cross-encoder", "system"]
    fingerprint: str
    vectors: Source | None = None

    @abstractmethod
    def known(self, qords: Ords, ords: Ords) -> int:
        """How many pairs of a collection need not be computed."""

    @abstractmethod
    def of_collection(self, collection: Collection, qords: Ords, ords: Ords, progress: Progress) -> Found:
        """Scores of pairs of a collection."""

    @abstractmethod
    def of_texts(self, texts: Texts, progress: Progress) -> Found:
        """Scores of pairs of texts."""


class ByCrossEncoder(Reranker):
    """Raw logits. Those that are stored for the collection, by this model content, are not computed again."""

    noun = "cross-encoder"

    def __init__(
        self, store: Store, settings: Settings, ce: CrossEncoder, collection: Collection | None
    ) -> None:
        from services.cross_encoders.models import required
        from services.scoring.identity import scored_by
        from services.scoring.score_folder import ScoreFolder
        from services.scoring.scores import Scores as StoredScores

        self._store, self._settings, self._ce = store, settings, ce
        self._model: InstalledModel = required(store, ce)
        by = scored_by(ce, self._model)
        self.name, self.fingerprint = ce.name, by.fingerprint
        self._stored: StoredScores | None = (
            None if collection is None else StoredScores(ScoreFolder(store, collection.name, by))
        )

    def known(self, qords: Ords, ords: Ords) -> int:
        """See `Reranker`."""
        return 0 if self._stored is None else int((~np.isnan(self._stored.of(qords, ords))).sum())

    def of_collection(self, collection: Collection, qords: Ords, ords: Ords, progress: Progress) -> Found:
        """See `Reranker`."""
        scores = np.full(len(ords), np.nan, np.float32)
        if self._stored is not None:
            scores = self._stored.of(qords, ords)
        left = np.flatnonzero(np.isnan(scores))
        stored = len(ords) - len(left)
        if not len(left):
            return Found(scores, stored=stored)
        scored = halving(
            lambda scale: self._scorer.pairs(
                collection,
                qords[left],
                ords[left],
                scale=scale,
                progress=lambda done: progress(stored + done),
            )
        )
        scores[left] = scored.scores
        return Found(scores, {int(left[n]): why for n, why in scored.dead.items()}, stored)

    def of_texts(self, texts: Texts, progress: Progress) -> Found:
        """See `Reranker`."""
        engine = self._scorer.engine
        queries, passages = engine.tokenizer.queries(texts.queries), engine.tokenizer.passages(texts.passages)
        scored = halving(
            lambda scale: engine.score(queries, passages, texts.q, texts.p, scale=scale, progress=progress)
        )
        return Found(scored.scores, scored.dead)

    @cached_property
    def _scorer(self) -> Scorer:
        from services.scoring.scorer import load_model

        return load_model(self._store, self._ce, self._model, self._settings)


class ByBiEncoder(Reranker):
    """Exact similarity of stored vectors where the collection has them, else of vectors made now."""

    noun = "system"

    def __init__(
        self, store: Store, settings: Settings, system: System, collection: Collection | None
    ) -> None:
        from services.encoding.encoder import vectors_fingerprint
        from services.encoding.vectors import open_vectors
        from services.negatives.cosines import Cosines
        from services.systems.models import required
        from services.systems.profile import profile_of

        if not system.is_dense:
            raise UsageError(
                f"system '{system.name}' has no encoder, so that it cannot rerank what it is given",
                hint="give --ce, or a dense system: `msmctl systems ls`",
            )
        model = required(store, system)
        self._store, self._settings, self._system = store, settings, system
        self.name, self.fingerprint = system.name, vectors_fingerprint(model, profile_of(system, model.own))
        vectors = None if collection is None else open_vectors(collection, system)
        self._products = None if vectors is None else Cosines(vectors)
        self.vectors = "computed" if vectors is None else "stored"

    def known(self, qords: Ords, ords: Ords) -> int:
        """See `Reranker`. Products of stored vectors are computed, if at next to no cost."""
        return 0

    def of_collection(self, collection: Collection, qords: Ords, ords: Ords, progress: Progress) -> Found:
        """See `Reranker`."""
        if self._products is None:
            return self.of_texts(Texts.of_collection(collection, qords, ords), progress)
        scores = self._products.of(qords, ords)
        none = np.flatnonzero(np.isnan(scores)).tolist()
        return Found(scores, dict.fromkeys(none, "query or passage could not be encoded"))

    def of_texts(self, texts: Texts, progress: Progress) -> Found:
        """See `Reranker`."""
        encoder = self._encoder
        share = len(texts.q) / max(1, len(texts.passages))
        queries = halving(
            lambda scale: encoder.engine.encode(texts.queries, prompt=encoder.prompt("query"), scale=scale)
        )
        passages = halving(
            lambda scale: encoder.engine.encode(
                texts.passages, prompt=encoder.prompt("passage"), scale=scale,
                progress=lambda done: progress(int(done * share)),
            )
        )  # fmt: skip
        scores = np.einsum("ij,ij->i", queries.vectors[texts.q], passages.vectors[texts.p])
        dead = {
            n: queries.dead.get(int(q)) or passages.dead[int(p)]
            for n, (q, p) in enumerate(zip(texts.q, texts.p, strict=True))
            if int(q) in queries.dead or int(p) in passages.dead
        }
        scores[list(dead)] = np.nan
        return Found(scores.astype(np.float32), dead)

    @cached_property
    def _encoder(self) -> DenseEncoder:
        from services.encoding.encoder import load_dense

        return load_dense(self._store, self._system, self._settings)
