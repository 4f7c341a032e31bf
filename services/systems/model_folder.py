"""What an encoder's folder says about itself (see `services.models.folder` for the folder as such)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from services.errors import InputError
from services.models.config_file import ConfigFile
from services.models.folder import modules, refuse_code, tokenizer_length
from services.systems.system import Pooling, Similarity

MODULES = ("Transformer", "Pooling", "Normalize")
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


def own_settings(folder: Path) -> OwnSettings:
    """What the folder says about pooling, similarity, length and prompts.

    Raises:
        InputError: a file is damaged, the model brings code of its own, or it has a part that we cannot run.
    """
    parts = {module["type"].rsplit(".", 1)[-1]: module["path"] for module in modules(folder, MODULES)}
    transformer = parts.get("Transformer", "")
    config = ConfigFile.read(folder / transformer / "config.json")
    refuse_code(folder, config)
    sentence = ConfigFile.read(folder / transformer / "sentence_bert_config.json", required=False)
    general = ConfigFile.read(folder / "config_sentence_transformers.json", required=False)
    pools = "Pooling" in parts
    pooling = ConfigFile.read(folder / parts.get("Pooling", "") / "config.json", required=pools)
    stated: Any = general.get("similarity_fn_name", str) or ("cosine" if "Normalize" in parts else None)
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
        max_length=sentence.get("max_seq_length", int) or tokenizer_length(folder / transformer, config),
        normalize="Normalize" in parts,
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
