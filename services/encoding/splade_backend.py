"""The backend of sparse encoders: a masked language model's logits, pooled over a text's tokens.

SPLADE: a term's weight is log(1 + relu(logit)), the greatest or the sum over the tokens
(https://arxiv.org/abs/2109.10086), or twice the logarithm (https://arxiv.org/abs/2504.14839).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForMaskedLM

from services.encoding.backend import Tokens
from services.encoding.gathering import SparseGathering
from services.encoding.weights import Weights
from services.errors import InputError
from services.models.torch_runtime import BLOCK_TOKENS, loaded, memory_errors, prepared, require_positions
from services.systems.model_folder import OwnSettings
from services.systems.profile import SparseProfile

_WIDTH = 7_500
"""Numbers per token for which blocks are as long as those of vectors. Logits have some 30,000 and more: their
blocks are shorter, so that one takes 60 MB on a CPU. Chosen for its memory; other lengths were not timed."""


class SpladeBackend:
    """See `services.encoding.backend.Backend`."""

    name = "splade"
    dtype = "float32"

    def __init__(
        self, folder: Path, own: OwnSettings, profile: SparseProfile, device: str, threads: int
    ) -> None:
        self._device = prepared(device, threads)
        self.device = self._device.type
        self.block_tokens = max(1, BLOCK_TOKENS[self.device] * _WIDTH // max(_WIDTH, own.vocabulary))
        again = "msmctl systems pull NAME --from FOLDER"
        model, missing = loaded(AutoModelForMaskedLM, folder / own.transformer, again)
        if missing:
            raise InputError(
                f"{folder}: weights of the masked language model are missing: {missing[0]}",
                hint="a sparse encoder needs them: take the folder of a SPLADE model",
            )
        self._model = model.to(self._device)
        require_positions(folder, self._model, profile.max_length)
        self._profile = profile
        self.dim = own.vocabulary
        self.vocabulary = int(self._model.get_input_embeddings().weight.shape[0])

    def forward(self, ids: Tokens, mask: Tokens) -> Weights:
        """See `Backend.forward`: term weights [rows, vocabulary]."""
        with memory_errors(), torch.inference_mode():
            tokens = torch.from_numpy(ids).to(self._device)
            attention = torch.from_numpy(mask).to(self._device)
            logits: Tensor = self._model(input_ids=tokens, attention_mask=attention).logits
            weights = greatest(pool_logits(logits, attention, self._profile), self._profile.most_terms)
            return Weights.of_dense(np.asarray(weights.cpu().numpy(), dtype=np.float32))

    def gathering(self, count: int) -> SparseGathering:
        """See `Backend`."""
        return SparseGathering(count, self.dim)


def pool_logits(logits: Tensor, attention: Tensor, profile: SparseProfile) -> Tensor:
    """One row of weights per text, as sentence-transformers' SpladePooling makes them.

    Args:
        logits: [rows, length, vocabulary]; overwritten.
        attention: 1 where there is a token, 0 in the padding [rows, length].
        profile: `pooling` max or sum, `activation`.
    """
    positive = logits.mul_(attention.unsqueeze(-1)).relu_()
    if profile.pooling == "max":  # the logarithm grows with its argument: the greatest first is less work
        return _activated(positive.amax(dim=1), profile)
    return _activated(positive, profile).sum(dim=1)


def greatest(weights: Tensor, most: int | None) -> Tensor:
    """The greatest weights of each row, the others 0; all where there is no limit."""
    if most is None or most >= weights.shape[1]:
        return weights
    kept = weights.topk(most, dim=1)
    return torch.zeros_like(weights).scatter_(1, kept.indices, kept.values)


def _activated(positive: Tensor, profile: SparseProfile) -> Tensor:
    once = positive.log1p_()
    return once.log1p_() if profile.activation == "log1p_relu" else once
