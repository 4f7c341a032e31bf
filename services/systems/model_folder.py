"""A model folder on disk: which of its files decide the vectors, and what it says about itself.

Understood are folders of transformers (config.json, tokenizer, safetensors) with or without the files
of sentence-transformers (modules.json and what it names: Transformer, Pooling, Normalize).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from services.errors import InputError
from services.systems.system import Pooling, Similarity

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

_KNOWN_MODULES = ("Transformer", "Pooling", "Normalize")
_POOLINGS: dict[str, Pooling] = {"mean": "mean", "cls": "cls", "max": "max", "lasttoken": "lasttoken"}
_LEGACY_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}


class OwnSettings(BaseModel):
    """What a folder's own files say; None where they are silent.

    Attributes:
        transformer: Sub-folder of the encoder, "" for the folder itself.
        normalize: Whether the model ends in a Normalize module.
        lowercase: Whether texts are lowercased before the tokenizer's own normalisation.
        dim: Width of a vector.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    transformer: str = ""
    pooling: Pooling | None = None
    similarity: Similarity | None = None
    max_length: int | None = None
    normalize: bool = False
    lowercase: bool = False
    query_prompt: str | None = None
    passage_prompt: str | None = None
    pools_prompt: bool = True
    dim: int


def is_decisive(name: str) -> bool:
    """Whether a file of that name, weights aside, decides the vectors."""
    return name in _DECISIVE


def decisive_files(folder: Path) -> list[str]:
    """Sorted relative paths of the files that decide the vectors.

    Raises:
        InputError: this is no model folder, or its weights are not safetensors.
    """
    if not (folder / "modules.json").is_file() and not (folder / "config.json").is_file():
        raise InputError(f"{folder}: neither modules.json nor config.json: not a model folder")
    inside = ["", *sorted({module["path"] for module in _modules(folder) if module["path"]})]
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


def own_settings(folder: Path) -> OwnSettings:
    """What the folder says about pooling, similarity, length and prompts.

    Raises:
        InputError: a file is damaged, the model brings code of its own, or it has a part that we cannot run.
    """
    modules = {module["type"].rsplit(".", 1)[-1]: module["path"] for module in _modules(folder)}
    transformer = modules.get("Transformer", "")
    config = _json(folder / transformer / "config.json")
    if "auto_map" in config:
        raise InputError(
            f"{folder}: config.json asks for code of its own (auto_map {config['auto_map']}), "
            "which is never run",
            hint="use a model of an architecture that transformers knows",
        )
    sentence = _json(folder / transformer / "sentence_bert_config.json", required=False)
    general = _json(folder / "config_sentence_transformers.json", required=False)
    pooling = _json(folder / modules["Pooling"] / "config.json") if "Pooling" in modules else {}
    similarity: Any = general.get("similarity_fn_name") or ("cosine" if "Normalize" in modules else None)
    if similarity not in (None, "cosine", "dot"):
        raise InputError(f"{folder}: similarity '{similarity}' is not supported; cosine and dot are")
    prompts = _prompts(general)
    return OwnSettings(
        transformer=transformer,
        pooling=_pooling(folder, pooling) if pooling else None,
        similarity=similarity,
        max_length=sentence.get("max_seq_length") or _tokenizer_length(folder / transformer, config),
        normalize="Normalize" in modules,
        lowercase=bool(sentence.get("do_lower_case")),
        query_prompt=prompts.get("query"),
        passage_prompt=prompts.get("passage"),
        pools_prompt=bool(pooling.get("include_prompt", True)),
        dim=int(config.get("hidden_size") or config["dim"]),
    )


def _modules(folder: Path) -> list[dict[str, str]]:
    """The entries of modules.json; none where there is no such file."""
    modules: list[dict[str, str]] = _json(folder / "modules.json", required=False, empty=[])
    for module in modules:
        kind = module["type"]
        if not kind.startswith("sentence_transformers.") or kind.rsplit(".", 1)[-1] not in _KNOWN_MODULES:
            raise InputError(
                f"{folder}: module '{kind}' is not supported; known: {', '.join(_KNOWN_MODULES)}"
            )
        if module["path"].startswith("/") or ".." in module["path"].split("/"):
            raise InputError(f"{folder}: modules.json leaves the folder: '{module['path']}'")
    return modules


def _pooling(folder: Path, config: dict[str, Any]) -> Pooling:
    named = config.get("pooling_mode", [mode for flag, mode in _LEGACY_FLAGS.items() if config.get(flag)])
    modes = [named] if isinstance(named, str) else list(named)
    if len(modes) != 1 or modes[0] not in _POOLINGS:
        raise InputError(
            f"{folder}: pooling {modes} is not supported; known, one at a time: {', '.join(_POOLINGS)}"
        )
    return _POOLINGS[modes[0]]


def _prompts(general: dict[str, Any]) -> dict[str, str]:
    """Prompts as sentence-transformers' encode_query and encode_document choose them."""
    named: dict[str, str] = general.get("prompts") or {}
    default = named.get(general.get("default_prompt_name") or "")
    wanted = {"query": ("query",), "passage": ("document", "passage", "corpus")}
    chosen = {
        kind: next((named[name] for name in names if name in named), default)
        for kind, names in wanted.items()
    }
    return {kind: prompt for kind, prompt in chosen.items() if prompt}


def _tokenizer_length(folder: Path, config: dict[str, Any]) -> int | None:
    """The tokenizer's limit within the positions that the model has, as sentence-transformers derives it."""
    stated = _json(folder / "tokenizer_config.json", required=False).get("model_max_length")
    positions = config.get("max_position_embeddings")
    limits = [int(limit) for limit in (stated, positions) if limit and 0 < limit < 1 << 20]
    return min(limits, default=None)


def _json(path: Path, *, required: bool = True, empty: Any = None) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if not required:
            return {} if empty is None else empty
        raise InputError(f"{path}: missing: not a complete model folder") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
