"""The tokenizer of a model folder, as sentence-transformers loads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.errors import InputError, first_line


def load_tokenizer(folder: Path, *, lowercase: bool) -> Any:
    """A fast tokenizer of transformers.

    Args:
        folder: Where its files are.
        lowercase: Put lowercasing before its own normalisation.

    Raises:
        InputError: there is none, or only one in Python.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder}: the tokenizer cannot be loaded: {first_line(error)}") from error
    if not tokenizer.is_fast:
        raise InputError(f"{folder}: no fast tokenizer (tokenizer.json) for this model")
    if lowercase:
        _lowercase_first(tokenizer.backend_tokenizer)
    return tokenizer


def _lowercase_first(tokenizer: object) -> None:
    from tokenizers import Tokenizer as Fast
    from tokenizers.normalizers import Lowercase, Sequence

    if isinstance(tokenizer, Fast):
        present = tokenizer.normalizer
        tokenizer.normalizer = Sequence([Lowercase(), present] if present else [Lowercase()])
