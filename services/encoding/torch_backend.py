"""The reference backend: transformers' own model in float32, pooled as the profile says."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModel

from services.encoding.backend import Tokens, Vectors
from services.encoding.gathering import DenseGathering
from services.models.torch_runtime import (
    BLOCK_TOKENS,
    loaded,
    memory_errors,
    one_thread,
    prepared,
    require_positions,
)
from services.systems.model_folder import OwnSettings
from services.systems.profile import Profile

SMALL = 1e9
"""Operations of a block on the CPU that one thread computes: a few short queries of a small model."""


class TorchBackend:
    """See `services.encoding.backend.Backend`."""

    name = "torch"
    dtype = "float32"

    def __init__(self, folder: Path, own: OwnSettings, profile: Profile, device: str, threads: int) -> None:
        self._device = prepared(device, threads)
        self.device = self._device.type
        self.block_tokens = BLOCK_TOKENS[self.device]
        model, _ = loaded(AutoModel, folder / own.transformer, "msmctl systems pull NAME --from FOLDER")
        self._model = model.to(self._device)
        self._per_token = 2 * self._model.num_parameters(exclude_embeddings=True)
        require_positions(folder, self._model, profile.max_length)
        self._pooling = profile.pooling
        self._unit = own.normalize or profile.similarity == "cosine"
        self.dim = own.dim
        self.vocabulary = int(self._model.get_input_embeddings().weight.shape[0])

    def forward(self, ids: Tokens, mask: Tokens) -> Vectors:
        """See `Backend.forward`."""
        alone = self.device == "cpu" and ids.size * self._per_token < SMALL
        with memory_errors(), torch.inference_mode(), one_thread() if alone else nullcontext():
            tokens = torch.from_numpy(ids).to(self._device)
            attention = torch.from_numpy(mask).to(self._device)
            hidden: Tensor = self._model(input_ids=tokens, attention_mask=attention).last_hidden_state
            vectors = pool(hidden, attention, self._pooling)
            if self._unit:
                vectors = torch.nn.functional.normalize(vectors, p=2, dim=1)
            return np.asarray(vectors.cpu().numpy(), dtype=np.float32)

    def gathering(self, count: int) -> DenseGathering:
        """See `Backend`."""
        return DenseGathering(count, self.dim)


def pool(hidden: Tensor, attention: Tensor, pooling: str) -> Tensor:
    """One vector per row, as sentence-transformers pools.

    Args:
        hidden: Token vectors [rows, length, dim].
        attention: 1 where there is a token, 0 in the padding at the end [rows, length].
        pooling: mean, cls (the first token), max or lasttoken.
    """
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "lasttoken":
        return hidden[torch.arange(len(hidden), device=hidden.device), attention.sum(dim=1) - 1]
    mask = attention.unsqueeze(-1)
    if pooling == "max":
        return hidden.masked_fill(mask == 0, float("-inf")).amax(dim=1)
    return (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
