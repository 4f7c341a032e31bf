"""Is a model folder whole? Looks at what a copy of it would need, without loading the model."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from services.errors import InputError

_TOKENIZERS = frozenset(
    {
        "tokenizer.json",
        "vocab.txt",
        "vocab.json",
        "bpe.codes",
        "spiece.model",
        "sentencepiece.bpe.model",
        "tokenizer.model",
    }
)


def require_whole(folder: Path, transformer: str, files: list[str]) -> None:
    """See that every safetensors file can be opened and that the encoder has a tokenizer.

    Args:
        folder: The model folder.
        transformer: Sub-folder of the encoder, "" for the folder itself.
        files: Its decisive files, by their relative paths.

    Raises:
        InputError: a file is cut off or damaged, or the tokenizer is missing.
    """
    inside = f"{transformer}/" if transformer else ""
    if not any(f"{inside}{name}" in files for name in _TOKENIZERS):
        raise InputError(
            f"{folder / transformer}: no tokenizer (tokenizer.json, vocab.txt or the like)",
            hint="copy the tokenizer's files beside config.json",
        )
    for name in files:
        if name.endswith(".safetensors"):
            _require_tensors(folder / name)


def _require_tensors(path: Path) -> None:
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = list(file.keys())
        what = "" if tensors else "there is no tensor in it"
    except (SafetensorError, OSError, ValueError) as error:
        what = str(error)
    if what:
        raise InputError(
            f"{path}: not a whole safetensors file: {what}",
            hint="fetch the model again; with git, large files need `git lfs pull`",
        )
