"""Our encoders and scorers as the batcher runs them: texts to pieces, blocks of pieces to values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic

import numpy as np

from services.cross_encoders.models import InstalledModel as CrossEncoderModel
from services.encoding.backend import R
from services.encoding.blocks import halving
from services.encoding.encoder import Encoder
from services.encoding.weights import Weights
from services.errors import InputError, MsmError
from services.inference.batching import Piece
from services.inference.models import Floats, PromptKind
from services.inference.token_cache import TokenCache
from services.scoring.ragged import Ragged
from services.scoring.scorer import Scorer
from services.systems.models import InstalledModel as SystemModel

HEAD = 32
"""Characters, per token of a model's length, that are tokenised of a longer text unless they are too few."""


class _EncoderRunner(ABC, Generic[R]):
    """An encoder; a payload is a text's token ids."""

    def __init__(self, encoder: Encoder[R], model: SystemModel) -> None:
        self._encoder = encoder
        self._cache: TokenCache[list[int]] = TokenCache(len)
        self.name = model.system
        self.checkpoint = model.fingerprint
        self.dim = encoder.dim

    @property
    def block_tokens(self) -> int:
        """See `Runner`."""
        return self._encoder.engine.backend.block_tokens

    def pieces(self, texts: Sequence[str], kind: PromptKind) -> list[Piece]:
        """Tokenise. InputError names the first text that cannot be encoded."""
        prompt = self._encoder.prompt(kind)
        rows = self._cache.of([prompt + text for text in texts], self._tokens)
        return [Piece((kind, text), len(row), row) for text, row in zip(texts, rows, strict=True)]

    def compute(self, payloads: Sequence[list[int]]) -> list[R | MsmError]:
        """See `Runner`."""
        encoded = halving(
            lambda scale: self._encoder.engine.encode_tokens(list(payloads), {}, fill=False, scale=scale)
        )
        return [
            InputError(f"{self.name}: a text cannot be encoded: {encoded.dead[n]}") if n in encoded.dead
            else self._row(encoded.vectors, n)
            for n in range(len(payloads))
        ]  # fmt: skip

    @abstractmethod
    def _row(self, rows: R, n: int) -> R:
        """One text's row."""

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        engine = self._encoder.engine
        length = engine.tokenizer.max_length
        heads = [head(text, HEAD * length) for text in texts]
        rows, dead = engine.tokens(heads)
        cut = [n for n, row in enumerate(rows) if len(heads[n]) < len(texts[n]) and len(row) < length]
        whole, dead_whole = engine.tokens([texts[n] for n in cut])
        for n, row in zip(cut, whole, strict=True):
            rows[n] = row
            dead.pop(n, None)
        dead |= {cut[at]: why for at, why in dead_whole.items()}
        for n, why in dead.items():
            raise InputError(f"{self.name}: the text {texts[n][:60]!r} cannot be encoded: {why}")
        return rows


class EncoderRunner(_EncoderRunner[Floats]):
    """A value is a text's vector, float32 [dim]."""

    def _row(self, rows: Floats, n: int) -> Floats:
        vector: Floats = rows[n]
        return vector


class SparseRunner(_EncoderRunner[Weights]):
    """A value is a text's term weights, one row."""

    def _row(self, rows: Weights, n: int) -> Weights:
        return rows.part(n, n + 1)


class ScorerRunner:
    """A cross-encoder; a payload is a query's and a passage's token ids, a value their raw logit."""

    def __init__(self, scorer: Scorer, model: CrossEncoderModel) -> None:
        self._engine = scorer.engine
        self._cache: TokenCache[Ragged] = TokenCache(lambda one: len(one.ids))
        self.name = model.ce
        self.checkpoint = model.fingerprint

    @property
    def block_tokens(self) -> int:
        """See `Runner`."""
        return self._engine.backend.block_tokens

    def pieces(self, query: str, texts: Sequence[str]) -> list[Piece]:
        """Tokenise. InputError for a text that cannot be."""
        tokenizer, layout = self._engine.tokenizer, self._engine.tokenizer.layout
        asked = tokenizer.queries([query])
        passages = self._cache.of(list(texts), lambda missing: _single(tokenizer.passages(missing)))
        lengths = np.array([one.lengths[0] for one in passages], np.int64)
        totals = layout.totals(layout.truncated(np.full(len(texts), asked.lengths[0]), lengths)).tolist()
        return [
            Piece((query, text), total, (asked, one))
            for text, total, one in zip(texts, totals, passages, strict=True)
        ]

    def compute(self, payloads: Sequence[tuple[Ragged, Ragged]]) -> list[float | MsmError]:
        """See `Runner`."""
        asked = {id(query): query for query, _ in payloads}
        place = {key: n for n, key in enumerate(asked)}
        queries = Ragged.joined(asked.values())
        passages = Ragged.joined(passage for _, passage in payloads)
        q = np.array([place[id(query)] for query, _ in payloads], np.int64)
        p = np.arange(len(payloads))
        scored = halving(lambda scale: self._engine.score(queries, passages, q, p, fill=False, scale=scale))
        return [
            InputError(f"{self.name}: a text cannot be scored: {scored.dead[n]}") if n in scored.dead
            else score
            for n, score in enumerate(scored.scores.tolist())
        ]  # fmt: skip


def head(text: str, most: int) -> str:
    """A text's beginning of at most so many characters, up to white space; where there is none, all of it.

    Tokens do not reach across white space, so that those of a beginning begin those of the whole.
    """
    if len(text) <= most:
        return text
    parts = text[:most].rsplit(None, 1)
    return parts[0] if len(parts) == 2 else text


def _single(texts: Ragged) -> list[Ragged]:
    """Each text by itself."""
    return [texts.take(np.array([n])) for n in range(len(texts))]
