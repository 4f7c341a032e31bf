"""Texts to token ids, exactly as sentence-transformers makes them, but once for all texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.encoding.backend import Tokens
from services.models.tokenizer import load_tokenizer


class Tokenizer:
    """The tokenizer of a model folder, cutting at `max_length` tokens, special ones included."""

    def __init__(self, folder: Path, max_length: int, *, lowercase: bool) -> None:
        tokenizer = load_tokenizer(folder, lowercase=lowercase)
        self._tokenizer = tokenizer
        self.max_length = max_length
        self.pad = int(tokenizer.pad_token_id or 0)

    def ids(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, without padding."""
        if not texts:
            return []
        encoded = self._tokenizer(
            texts,
            truncation="longest_first",
            max_length=self.max_length,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    def pad_block(self, rows: list[list[int]], count: int, length: int) -> tuple[Tokens, Tokens]:
        """Ids and mask [count, length]; rows beyond those given repeat the last one."""
        ids = np.full((count, length), self.pad, np.int64)
        mask: npt.NDArray[np.int64] = np.zeros((count, length), np.int64)
        for n in range(count):
            row = rows[min(n, len(rows) - 1)]
            ids[n, : len(row)] = row
            mask[n, : len(row)] = 1
        return ids, mask
