"""A scorer: a cross-encoder's model from the store, ready to score pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from services.collections.collection import Collection, Ords
from services.cross_encoders.cross_encoder import CrossEncoder
from services.cross_encoders.models import InstalledModel, required
from services.cross_encoders.profile import Profile, profile_of
from services.errors import InputError, MsmError
from services.scoring.backend import Scores, load_backend
from services.scoring.engine import Engine, Scored
from services.scoring.identity import BACKEND, scored_by
from services.scoring.score_folder import ScoredBy
from services.scoring.tokenizer import PairTokenizer
from services.scoring.tokens import TokenCache
from services.settings import Settings
from services.store import Store


class Scorer:
    """A loaded model. `pairs` is what jobs use; `score` is for a handful of texts."""

    def __init__(self, engine: Engine, by: ScoredBy) -> None:
        self.engine = engine
        self.by = by

    @property
    def device(self) -> str:
        """Kind of device: cpu or cuda."""
        return self.engine.backend.device

    def score(self, query: str, texts: Sequence[str]) -> Scores:
        """Raw logits of a query with some texts, float32 [texts].

        Raises:
            InputError: a text cannot be tokenised, or a pair not computed.
        """
        tokenizer = self.engine.tokenizer
        queries, passages = tokenizer.queries([query]), tokenizer.passages(texts)
        count = len(texts)
        scored = self.engine.score(queries, passages, np.zeros(count, np.int64), np.arange(count), fill=False)
        if scored.dead:
            n, reason = next(iter(scored.dead.items()))
            raise InputError(f"text {n} ({texts[n][:60]!r}) cannot be scored: {reason}")
        return scored.scores

    def pairs(
        self,
        collection: Collection,
        qords: Ords,
        ords: Ords,
        *,
        fill: bool = True,
        scale: float = 1.0,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Scored:
        """Score pairs of a collection, in any order; token ids are kept in the store.

        Args:
            collection: Where the texts are.
            qords: Query of each pair.
            ords: Passage of each pair.
            fill: See `Engine.score`.
            scale: See `Engine.score`.
            progress: Called now and then with the number of pairs done.
        """
        cache = TokenCache(collection, self.engine.tokenizer, lambda: progress(0))
        of_queries, q = np.unique(np.asarray(qords, np.int64), return_inverse=True)
        of_passages, p = np.unique(np.asarray(ords, np.int64), return_inverse=True)
        queries, passages = cache.of("queries", of_queries), cache.of("passages", of_passages)
        return self.engine.score(queries, passages, q, p, fill=fill, scale=scale, progress=progress)


def load_scorer(store: Store, ce: CrossEncoder, settings: Settings) -> Scorer:
    """The scorer of a cross-encoder's present model, from the store; loaded once per process.

    Raises:
        NotFound: its model has not been pulled.
        MsmError: the model's files are damaged.
        InputError: the model cannot be run.
    """
    return load_model(store, ce, required(store, ce), settings)


def load_model(store: Store, ce: CrossEncoder, model: InstalledModel, settings: Settings) -> Scorer:
    """The scorer of exactly this model, whatever its cross-encoder uses by now."""
    key = _Key(store, model, scored_by(ce, model))
    return _loaded(key, profile_of(ce, model.own), settings.device, settings.threads)


class _Key:
    """A model as a cache key: equal when the content is, and how it is run."""

    def __init__(self, store: Store, model: InstalledModel, by: ScoredBy) -> None:
        self.store = store
        self.model = model
        self.by = by

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and (self.store.url, self.by) == (other.store.url, other.by)

    def __hash__(self) -> int:
        return hash(self.by.fingerprint)


@lru_cache(maxsize=2)
def _loaded(key: _Key, profile: Profile, device: str, threads: int) -> Scorer:
    return _fresh(key.store, key.model, key.by, profile, device, threads)


def fresh_scorer(store: Store, ce: CrossEncoder, model: InstalledModel, settings: Settings) -> Scorer:
    """As `load_model`, loaded now; nobody but the caller keeps it."""
    profile = profile_of(ce, model.own)
    return _fresh(store, model, scored_by(ce, model), profile, settings.device, settings.threads)


def _fresh(
    store: Store, model: InstalledModel, by: ScoredBy, profile: Profile, device: str, threads: int
) -> Scorer:
    if damaged := model.damaged(store):
        raise MsmError(
            f"{store.location(model.folder)}: damaged: {damaged[0]}",
            hint=f"`msmctl ce pull {model.ce}` copies it anew",
        )
    folder = model.local_folder(store)
    tokenizer = PairTokenizer(folder, model.own, profile)
    template = profile.template
    answers = (tokenizer.token(template.yes), tokenizer.token(template.no)) if template else None
    if answers is not None and model.own.answers not in (None, answers):
        raise InputError(
            f"cross-encoder '{model.ce}': its template's answers are the tokens {answers}, the model was "
            f"saved with {model.own.answers}",
            hint="register it with the template that it was trained with",
        )
    backend = load_backend(BACKEND, folder, model.own, profile, answers, device, threads)
    return Scorer(Engine(tokenizer, backend), by)
