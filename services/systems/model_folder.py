"""A model folder on disk: which of its files decide the vectors, and what it says about itself.

Understood are folders of transformers (config.json, tokenizer, safetensors) with or without the files
of sentence-transformers (modules.json and what it names: Transformer, Pooling, Normalize).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from services.errors import InputError
from services.systems.config_file import ConfigFile, checked, read_json, refuse
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
        raise InputError(
            f"{folder}: neither modules.json nor config.json: not a model folder",
            hint="give the folder in which they are",
        )
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
    config = ConfigFile.read(folder / transformer / "config.json")
    if "auto_map" in config.values:
        raise InputError(
            f"{folder}: config.json asks for code of its own (auto_map {config.values['auto_map']}), "
            "which is never run",
            hint="use a model of an architecture that transformers knows",
        )
    sentence = ConfigFile.read(folder / transformer / "sentence_bert_config.json", required=False)
    general = ConfigFile.read(folder / "config_sentence_transformers.json", required=False)
    pools = "Pooling" in modules
    pooling = ConfigFile.read(folder / modules.get("Pooling", "") / "config.json", required=pools)
    stated: Any = general.get("similarity_fn_name", str) or ("cosine" if "Normalize" in modules else None)
    if stated not in (None, "cosine", "dot"):
        raise InputError(
            f"{folder}: similarity '{stated}' is not supported; cosine and dot are",
            hint="use a model that was trained for one of them",
        )
    prompts = _prompts(general)
    return OwnSettings(
        transformer=transformer,
        pooling=_pooling(folder, pooling) if pools and pooling.values else None,
        similarity=stated,
        max_length=sentence.get("max_seq_length", int) or _tokenizer_length(folder / transformer, config),
        normalize="Normalize" in modules,
        lowercase=bool(sentence.get("do_lower_case", bool)),
        query_prompt=prompts.get("query"),
        passage_prompt=prompts.get("passage"),
        pools_prompt=not pools or pooling.get("include_prompt", bool) is not False,
        dim=_dim(config),
    )


def _dim(config: ConfigFile) -> int:
    """Width of a vector; DistilBERT calls it `dim`."""
    dim = config.get("hidden_size", int) or config.get("dim", int)
    if dim is None or dim < 1:
        config.refuse("hidden_size", "is missing" if dim is None else f"is {dim}")
    return dim


def _modules(folder: Path) -> list[dict[str, str]]:
    """Type and path of the entries of modules.json; none where there is no such file."""
    file = folder / "modules.json"
    modules = []
    for number, entry in enumerate(checked(read_json(file, required=False, absent=[]), list, f"{file}")):
        where = f"{file}: module {number}"
        module = ConfigFile(file, checked(entry, dict, where))
        kind, path = module.get("type", str), module.get("path", str)
        if kind is None or path is None:
            refuse(where, f"has no '{'type' if kind is None else 'path'}'")
        if not kind.startswith("sentence_transformers.") or kind.rsplit(".", 1)[-1] not in _KNOWN_MODULES:
            raise InputError(
                f"{folder}: module '{kind}' is not supported; known: {', '.join(_KNOWN_MODULES)}",
                hint="use a model made of these",
            )
        if path.startswith("/") or ".." in path.split("/") or "\0" in path:
            raise InputError(
                f"{folder}: modules.json leaves the folder: '{path}'", hint="do not trust this model"
            )
        modules.append({"type": kind, "path": path})
    return modules


def _pooling(folder: Path, config: ConfigFile) -> Pooling:
    named = config.values.get("pooling_mode")
    if named is None:
        named = [mode for flag, mode in _LEGACY_FLAGS.items() if config.get(flag, bool)]
    modes = named if isinstance(named, list) else [config.get("pooling_mode", str)]
    if len(modes) != 1 or not isinstance(modes[0], str) or modes[0] not in _POOLINGS:
        raise InputError(
            f"{folder}: pooling {modes} is not supported; known, one at a time: {', '.join(_POOLINGS)}",
            hint="use a model that pools in one of these ways",
        )
    return _POOLINGS[modes[0]]


def _prompts(general: ConfigFile) -> dict[str, str]:
    """Prompts as sentence-transformers' encode_query and encode_document choose them."""
    texts = ConfigFile(general.path, general.get("prompts", dict) or {})
    named = {name: texts.get(name, str) for name in texts.values}
    default = named.get(general.get("default_prompt_name", str) or "")
    wanted = {"query": ("query",), "passage": ("document", "passage", "corpus")}
    chosen = {
        kind: next((named[name] for name in names if name in named), default)
        for kind, names in wanted.items()
    }
    return {kind: prompt for kind, prompt in chosen.items() if prompt}


def _tokenizer_length(folder: Path, config: ConfigFile) -> int | None:
    """The tokenizer's limit within the positions that the model has, as sentence-transformers derives it."""
    stated = ConfigFile.read(folder / "tokenizer_config.json", required=False)
    limits = [stated.get("model_max_length", float), config.get("max_position_embeddings", float)]
    return min((int(limit) for limit in limits if limit and 0 < limit < 1 << 20), default=None)
