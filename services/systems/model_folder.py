"""What an encoder's folder says about itself (see `services.models.folder` for the folder as such)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from services.errors import InputError
from services.models.config_file import ConfigFile
from services.models.folder import modules, refuse_code, tokenizer_length
from services.systems.system import (
    ACTIVATIONS,
    SPARSE_POOLINGS,
    Activation,
    EncoderKind,
    Pooling,
    Similarity,
)

MODULES = ("Transformer", "Pooling", "Normalize", "MLMTransformer", "SpladePooling")
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
        kind: `sparse` where the model ends in a SpladePooling module; `pooling` is then that of its terms.
        activation: What becomes of a logit there.
        most_terms: How many of a text's terms are kept, the greatest; None: all.
        vocabulary: Width of the masked language model's logits; 0: the model has no such head.
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
    kind: EncoderKind = "dense"
    activation: Activation | None = None
    most_terms: int | None = None
    vocabulary: int = 0


def own_settings(folder: Path) -> OwnSettings:
    """What the folder says about pooling, similarity, length and prompts.

    Raises:
        InputError: a file is damaged, the model brings code of its own, or it has a part that we cannot run.
    """
    parts = {module["type"].rsplit(".", 1)[-1]: module["path"] for module in modules(folder, MODULES)}
    transformer = parts.get("MLMTransformer", parts.get("Transformer", ""))
    config = ConfigFile.read(folder / transformer / "config.json")
    refuse_code(folder, config)
    sentence = ConfigFile.read(folder / transformer / "sentence_bert_config.json", required=False)
    general = ConfigFile.read(folder / "config_sentence_transformers.json", required=False)
    stated: Any = general.get("similarity_fn_name", str) or ("cosine" if "Normalize" in parts else None)
    if stated not in (None, "cosine", "dot"):
        raise InputError(
            f"{folder}: similarity '{stated}' is not supported; cosine and dot are",
            hint="use a model that was trained for one of them",
        )
    prompts = _prompts(general)
    pooled = _splade if "SpladePooling" in parts else _pooled
    return OwnSettings(
        transformer=transformer,
        max_length=sentence.get("max_seq_length", int) or tokenizer_length(folder / transformer, config),
        normalize="Normalize" in parts,
        lowercase=bool(sentence.get("do_lower_case", bool)),
        query_prompt=prompts.get("query"),
        passage_prompt=prompts.get("passage"),
        dim=_dim(config),
        vocabulary=_vocabulary(config),
        **pooled(folder, parts, stated, general),
    )


def _pooled(
    folder: Path, parts: Mapping[str, str], similarity: Similarity | None, general: ConfigFile
) -> dict[str, Any]:
    """The settings of a model that makes vectors."""
    pools = "Pooling" in parts
    config = ConfigFile.read(folder / parts.get("Pooling", "") / "config.json", required=pools)
    return {
        "pooling": _pooling(folder, config) if pools and config.values else None,
        "similarity": similarity,
        "pools_prompt": not pools or config.get("include_prompt", bool) is not False,
    }


def _splade(
    folder: Path, parts: Mapping[str, str], similarity: Similarity | None, general: ConfigFile
) -> dict[str, Any]:
    """The settings of a model that makes term weights."""
    others = sorted({"Pooling", "Normalize"} & parts.keys())
    if similarity == "cosine" or others:
        what = f"followed by {others[0]}" if others else "compared by cosine"
        raise InputError(
            f"{folder}: term weights that are {what} are not supported",
            hint="use a SPLADE model whose weights are compared by dot product",
        )
    config = ConfigFile.read(folder / parts["SpladePooling"] / "config.json")
    most = general.get("max_active_dims", int)
    if most is not None and most < 1:
        general.refuse("max_active_dims", f"is {most}")
    settings: dict[str, Any] = {"kind": "sparse", "similarity": "dot", "most_terms": most}
    for name, key, known in (
        ("pooling", "pooling_strategy", SPARSE_POOLINGS),
        ("activation", "activation_function", ACTIVATIONS),
    ):
        settings[name] = config.get(key, str) or known[0]
        if settings[name] not in known:
            config.refuse(key, f"is '{settings[name]}'; known: {', '.join(known)}")
    return settings


def _dim(config: ConfigFile) -> int:
    """Width of a vector; DistilBERT calls it `dim`."""
    dim = config.get("hidden_size", int) or config.get("dim", int)
    if dim is None or dim < 1:
        config.refuse("hidden_size", "is missing" if dim is None else f"is {dim}")
    return dim


def _vocabulary(config: ConfigFile) -> int:
    """Width of the logits of a masked language model; 0 for any other."""
    named = config.get("architectures", list) or []
    masked = any(isinstance(name, str) and name.endswith("ForMaskedLM") for name in named)
    return (config.get("vocab_size", int) or 0) if masked else 0


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
