"""What a cross-encoder's folder says about itself (see `services.models.folder` for the folder as such).

Understood are plain folders of transformers (…ForSequenceClassification with one label, …ForCausalLM) and
what sentence-transformers' `CrossEncoder.save` makes of them: a Transformer, with LogitScore for a decoder.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from services.cross_encoders.cross_encoder import Kind
from services.errors import InputError
from services.models.config_file import ConfigFile
from services.models.folder import modules, refuse_code, tokenizer_length

MODULES = ("Transformer", "LogitScore")
_BI_ENCODER = ("Pooling", "Normalize")
_HEADS: dict[str, Kind] = {"ForSequenceClassification": "encoder", "ForCausalLM": "decoder"}


class OwnSettings(BaseModel):
    """What a folder's own files say.

    Attributes:
        transformer: Sub-folder of the model, "" for the folder itself.
        max_length: Tokens that it takes; None where nothing says so.
        lowercase: Whether texts are lowercased before the tokenizer's own normalisation.
        answers: The tokens for yes and no that a decoder was saved with.
        flops_per_token: Multiply-adds (times two) that a token costs, attention aside.
        width: Layers times hidden size: attention costs 4 of it per token and token attended to.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    transformer: str = ""
    kind: Kind
    max_length: int | None = None
    lowercase: bool = False
    answers: tuple[int, int] | None = None
    flops_per_token: int
    width: int


def own_settings(folder: Path) -> OwnSettings:
    """What the folder says of kind, length and size.

    Raises:
        InputError: a file is damaged, the model brings code of its own, or it scores no pairs of texts.
    """
    parts = {
        part["type"].rsplit(".", 1)[-1]: part["path"] for part in modules(folder, (*MODULES, *_BI_ENCODER))
    }
    if any(name in parts for name in _BI_ENCODER):
        raise _no_cross_encoder(folder, f"it encodes texts one by one ({', '.join(parts)})")
    transformer = parts.get("Transformer", "")
    config = ConfigFile.read(folder / transformer / "config.json")
    refuse_code(folder, config)
    sentence = ConfigFile.read(folder / transformer / "sentence_bert_config.json", required=False)
    _refuse_prompt(folder)
    hidden, layers, inner = (_size(config, *names) for names in (
        ("hidden_size", "dim"), ("num_hidden_layers", "n_layers"), ("intermediate_size", "hidden_dim")
    ))  # fmt: skip
    return OwnSettings(
        transformer=transformer,
        kind=_kind(folder, config),
        max_length=sentence.get("max_seq_length", int) or tokenizer_length(folder / transformer, config),
        lowercase=bool(sentence.get("do_lower_case", bool)),
        answers=_answers(folder, parts.get("LogitScore")),
        flops_per_token=2 * layers * (4 * hidden * hidden + 2 * hidden * inner),
        width=layers * hidden,
    )


def _kind(folder: Path, config: ConfigFile) -> Kind:
    named = config.get("architectures", list) or []
    architecture = str(named[0]) if named else "none"
    kind = next((kind for head, kind in _HEADS.items() if architecture.endswith(head)), None)
    if kind is None:
        raise _no_cross_encoder(folder, f"its architecture is {architecture}, which has no head that scores")
    if kind == "encoder":
        labels = len(config.get("id2label", dict) or {}) or config.get("num_labels", int) or 2
        if labels != 1:
            raise _no_cross_encoder(folder, f"it has {labels} labels instead of one score")
    return kind


def _no_cross_encoder(folder: Path, why: str) -> InputError:
    return InputError(
        f"{folder}: no cross-encoder: {why}",
        hint="give a …ForSequenceClassification with one label, or a …ForCausalLM with a template; "
        "encoders of single texts are added with `msmctl systems add`",
    )


def _refuse_prompt(folder: Path) -> None:
    """sentence-transformers would put a default prompt before each text, which we do not."""
    general = ConfigFile.read(folder / "config_sentence_transformers.json", required=False)
    texts = ConfigFile(general.path, general.get("prompts", dict) or {})
    if texts.get(general.get("default_prompt_name", str) or "", str):
        raise InputError(
            f"{folder}: config_sentence_transformers.json names a default prompt, which is not supported",
            hint="use a model without one; a decoder's instruction goes into its template",
        )


def _answers(folder: Path, module: str | None) -> tuple[int, int] | None:
    """What sentence-transformers' LogitScore compares."""
    if module is None:
        return None
    config = ConfigFile.read(folder / module / "config.json")
    yes, no = (config.get(key, int) for key in ("true_token_id", "false_token_id"))
    if yes is None or no is None:
        raise InputError(
            f"{config.path}: scores by the logit of one token, not of two",
            hint="use a model that was trained to answer yes or no",
        )
    return yes, no


def _size(config: ConfigFile, *names: str) -> int:
    found = next((size for name in names if (size := config.get(name, int)) is not None), None)
    if found is None or found < 1:
        config.refuse(names[0], "is missing" if found is None else f"is {found}")
    return found
