"""A model folder on disk: which of its files decide what comes out, and of which modules it is made.

Understood are folders of transformers (config.json, tokenizer, safetensors) with or without the files
of sentence-transformers (modules.json and what it names).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from services.errors import InputError
from services.models.config_file import ConfigFile, checked, read_json, refuse

# Files that decide the output, by name, in the folder itself and in those that modules.json names. All
# others (README, training script, ONNX and .bin weights) are neither copied nor fingerprinted.
_DECISIVE = frozenset(
    {
        "config.json",
        "modules.json",
        "config_sentence_transformers.json",
        "sentence_bert_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "bpe.codes",
        "spiece.model",
        "sentencepiece.bpe.model",
        "tokenizer.model",
        "model.safetensors.index.json",
    }
)
SAFE_PATTERNS = sorted(
    {*_DECISIVE, "*.safetensors"} | {f"*_*/{name}" for name in ("config.json", "*.safetensors")}
)
"""What is fetched from a hub: never a pickle, never code."""


def is_decisive(name: str) -> bool:
    """Whether a file of that name, weights aside, decides the output."""
    return name in _DECISIVE


def decisive_files(folder: Path, known: Collection[str]) -> list[str]:
    """Sorted relative paths of the files that decide the output.

    Args:
        folder: The model folder.
        known: The modules of sentence-transformers that it may be made of.

    Raises:
        InputError: this is no model folder, or its weights are not safetensors.
    """
    if not (folder / "modules.json").is_file() and not (folder / "config.json").is_file():
        raise InputError(
            f"{folder}: neither modules.json nor config.json: not a model folder",
            hint="give the folder in which they are",
        )
    inside = ["", *sorted({module["path"] for module in modules(folder, known) if module["path"]})]
    files = [
        f"{sub}/{path.name}" if sub else path.name
        for sub in inside
        for path in (folder / sub).glob("*")
        if path.is_file() and (is_decisive(path.name) or path.suffix == ".safetensors")
    ]
    if not any(name.endswith(".safetensors") for name in files):
        pickles = sorted(path.name for path in folder.rglob("*.bin"))
        found = f"only {', '.join(pickles)} (a pickle, which may run code)" if pickles else "no weights"
        raise InputError(
            f"{folder}: {found}; models are loaded from safetensors only",
            hint=f"`msmctl systems convert {folder} -o FOLDER` makes safetensors of a .bin",
        )
    return sorted(files)


def modules(folder: Path, known: Collection[str]) -> list[dict[str, str]]:
    """Type and path of the entries of modules.json; none where there is no such file.

    Raises:
        InputError: it is damaged, leaves the folder, or names a module that is not `known`.
    """
    file = folder / "modules.json"
    found = []
    for number, entry in enumerate(checked(read_json(file, required=False, absent=[]), list, f"{file}")):
        where = f"{file}: module {number}"
        module = ConfigFile(file, checked(entry, dict, where))
        kind, path = module.get("type", str), module.get("path", str)
        if kind is None or path is None:
            refuse(where, f"has no '{'type' if kind is None else 'path'}'")
        if not kind.startswith("sentence_transformers.") or kind.rsplit(".", 1)[-1] not in known:
            raise InputError(
                f"{folder}: module '{kind}' is not supported; known: {', '.join(known)}",
                hint="use a model made of these",
            )
        if path.startswith("/") or ".." in path.split("/") or "\0" in path:
            raise InputError(
                f"{folder}: modules.json leaves the folder: '{path}'", hint="do not trust this model"
            )
        found.append({"type": kind, "path": path})
    return found


def refuse_code(folder: Path, config: ConfigFile) -> None:
    """InputError for a model that brings code of its own: it is never run."""
    if "auto_map" in config.values:
        raise InputError(
            f"{folder}: config.json asks for code of its own (auto_map {config.values['auto_map']}), "
            "which is never run",
            hint="use a model of an architecture that transformers knows",
        )


def tokenizer_length(folder: Path, config: ConfigFile) -> int | None:
    """The tokenizer's limit within the positions that the model has, as sentence-transformers derives it."""
    stated = ConfigFile.read(folder / "tokenizer_config.json", required=False)
    limits = [stated.get("model_max_length", float), config.get("max_position_embeddings", float)]
    return min((int(limit) for limit in limits if limit and 0 < limit < 1 << 20), default=None)
