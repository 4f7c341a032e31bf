"""Texts to token ids, exactly as sentence-transformers makes them, but once for all texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.encoding.backend import Tokens
from services.errors import InputError, first_line


class Tokenizer:
    """The tokenizer of a model folder, cutting at `max_length` tokens, special ones included."""

    def __init__(self, folder: Path, max_length: int, *, lowercase: bool) -> None:
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{folder}: the tokenizer cannot be loaded: {first_line(error)}") from error
        if not tokenizer.is_fast:
            raise InputError(f"{folder}: no fast tokenizer (tokenizer.json) for this model")
        if lowercase:
            _lowercase_first(tokenizer.backend_tokenizer)
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


def _lowercase_first(tokenizer: object) -> None:
    from tokenizers import Tokenizer as Fast
    from tokenizers.normalizers import Lowercase, Sequence

    if isinstance(tokenizer, Fast):
        present = tokenizer.normalizer
        tokenizer.normalizer = Sequence([Lowercase(), present] if present else [Lowercase()])
