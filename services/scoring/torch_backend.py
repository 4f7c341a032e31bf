"""The reference backend: transformers' own models in float32, raw logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from services.errors import InputError
from services.models.torch_runtime import BLOCK_TOKENS, loaded, memory_errors, prepared
from services.scoring.backend import Scores
from services.scoring.layout import Tokens

_AGAIN = "msmctl ce pull NAME --from FOLDER"


class _TorchBackend(ABC):
    """See `services.scoring.backend.Backend`."""

    _auto: Any

    def __init__(
        self, folder: Path, max_length: int, answers: tuple[int, int] | None, device: str, threads: int
    ) -> None:
        self._device = prepared(device, threads)
        self.device = self._device.type
        self.block_tokens = BLOCK_TOKENS[self.device]
        model, missing = loaded(self._auto, folder, _AGAIN)
        if missing:
            raise InputError(
                f"{folder}: no weights for {missing[0]}: not a trained cross-encoder",
                hint="give the folder of the fine-tuned model, not that of its base",
            )
        positions = _positions(model)
        if positions is not None and max_length > positions:
            raise InputError(
                f"{folder}: max-length {max_length} is beyond the model's {positions} positions",
                hint=f"register it with --max-length {positions} or less",
            )
        self._model = model.to(self._device)
        self._answers = answers
        self.vocabulary = int(model.get_input_embeddings().weight.shape[0])

    def forward(self, ids: Tokens, mask: Tokens, types: Tokens | None) -> Scores:
        """See `Backend.forward`."""
        with memory_errors(), torch.inference_mode():
            inputs = {
                "input_ids": torch.from_numpy(ids).to(self._device),
                "attention_mask": torch.from_numpy(mask).to(self._device),
            }
            if types is not None:
                inputs["token_type_ids"] = torch.from_numpy(types).to(self._device)
            return np.asarray(self._logits(inputs).float().cpu().numpy(), dtype=np.float32)

    @abstractmethod
    def _logits(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """One score per row [rows]."""


class ClassifierBackend(_TorchBackend):
    """The one label of a classification head."""

    _auto = AutoModelForSequenceClassification

    def _logits(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        logits: torch.Tensor = self._model(**inputs).logits
        return logits[:, 0]


class DecoderBackend(_TorchBackend):
    """The logit of `yes` minus that of `no` after the last token; rows are padded on the left."""

    _auto = AutoModelForCausalLM

    def _logits(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        assert self._answers is not None  # noqa: S101 - a decoder has a template
        yes, no = self._answers
        # Positions count from a row's first token, however much padding is before it.
        inputs["position_ids"] = (inputs["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
        logits: torch.Tensor = self._model(**inputs, logits_to_keep=1, use_cache=False).logits[:, -1]
        return logits[:, yes] - logits[:, no]


def _positions(model: Any) -> int | None:
    """How many tokens the model can tell apart by position; None where it sets no limit.

    RoBERTa's positions begin after that of the padding token.
    """
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            first = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - first
    stated = getattr(model.config, "max_position_embeddings", None)
    return stated if isinstance(stated, int) and stated > 0 else None
