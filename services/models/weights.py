"""Is a model folder whole? Looks at what a copy of it would need, without loading the model."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from services.errors import InputError
from services.models.config_file import ConfigFile

_WHOLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
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
    """See that the encoder has its weights and a tokenizer, and that every safetensors file can be opened.

    Args:
        folder: The model folder.
        transformer: Sub-folder of the encoder, "" for the folder itself.
        files: Its decisive files, by their relative paths.

    Raises:
        InputError: a file is cut off, damaged or missing.
    """
    inside = f"{transformer}/" if transformer else ""
    if not any(f"{inside}{name}" in files for name in _TOKENIZERS):
        raise InputError(
            f"{folder / transformer}: no tokenizer (tokenizer.json, vocab.txt or the like)",
            hint="copy the tokenizer's files beside config.json",
        )
    for name in _weights(folder / transformer):
        if f"{inside}{name}" not in files:
            raise InputError(
                f"{folder / transformer / name}: missing, though {_INDEX} names it",
                hint="fetch the model again: every part of its weights is needed",
            )
    for name in files:
        if name.endswith(".safetensors"):
            _require_tensors(folder / name)


def _weights(folder: Path) -> list[str]:
    """The files that hold the encoder's weights: one by its usual name, else those that the index names."""
    if (folder / _WHOLE).is_file():
        return [_WHOLE]
    if not (folder / _INDEX).is_file():
        raise InputError(
            f"{folder}: neither {_WHOLE} nor {_INDEX}, which names the parts of the weights",
            hint="fetch the model again: these files belong to it",
        )
    index = ConfigFile.read(folder / _INDEX)
    parts = list((index.get("weight_map", dict) or {}).values())
    if not parts or not all(isinstance(part, str) for part in parts):
        index.refuse("weight_map", "does not name the file of each tensor")
    return sorted(set(parts))


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
