"""What encoding takes, from a sample of the texts: their tokens, and the pace of a few seconds' work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.collections.collection import Collection
from services.encoding.encoder import AnyEncoder
from services.encoding.shards import TABLES, TableName, read_texts
from services.meter import pace

_RANGES = 8
_TEXTS = 64  # of each of these ranges
_SECONDS = {"passages": 4.0, "queries": 2.0}


@dataclass(frozen=True)
class Survey:
    """Tokens to be read, padding left out, and the seconds that they take here, tokenizer included."""

    tokens: int
    seconds: float


def survey(collection: Collection, todo: Sequence[tuple[TableName, int, int]], encoder: AnyEncoder) -> Survey:
    """Weigh and time what is to be encoded.

    Args:
        collection: The state whose texts they are.
        todo: Ranges of its tables.
        encoder: The model.
    """
    tokens, seconds = 0.0, 0.0
    for table in TABLES:
        ranges = [(lo, hi) for name, lo, hi in todo if name == table]
        if not ranges:
            continue
        texts = _spread(collection, table, ranges)
        prompt = encoder.prompt("passage" if table == "passages" else "query")
        lengths = np.array(
            [len(row) for row in encoder.engine.tokenizer.ids([prompt + one for one in texts])]
        )
        here = sum(hi - lo for lo, hi in ranges) * float(lengths.mean())
        tokens += here
        seconds += here * _pace(encoder, texts, lengths, prompt, _SECONDS[table])
    return Survey(round(tokens), seconds)


def _spread(collection: Collection, table: TableName, ranges: Sequence[tuple[int, int]]) -> list[str]:
    """Texts from all over some ranges."""
    texts: list[str] = []
    for n in _places(len(ranges), _RANGES):
        found = read_texts(collection, table, *ranges[n])
        texts += [found[place] for place in _places(len(found), _TEXTS)]
    return texts


def _pace(
    encoder: AnyEncoder, texts: Sequence[str], lengths: np.ndarray, prompt: str, seconds: float
) -> float:
    """Seconds per token, on texts of all lengths alike, however few there is time for."""
    by_length = np.argsort(lengths, kind="stable")

    def encode(lo: int, hi: int) -> float:
        chosen = by_length[_places(len(by_length), hi - lo)]
        encoder.engine.encode([texts[n] for n in chosen], prompt=prompt, fill=False)
        return float(lengths[chosen].sum())

    return pace(len(texts), encode, seconds)


def _places(count: int, most: int) -> np.ndarray:
    """At most so many positions, evenly over all."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))
