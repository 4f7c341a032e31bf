"""The reference backend: transformers' own model in float32, pooled as the profile says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from services.encoding.backend import Tokens, Vectors
from services.errors import InputError, first_line
from services.systems.model_folder import OwnSettings
from services.systems.profile import Profile

# Tokens per block. cpu: measured, 2 k is the best of 512 to 8 k on two machines (docs/benchmarks.md).
_BLOCK_TOKENS = {"cpu": 2048, "cuda": 32768}


class TorchBackend:
    """See `services.encoding.backend.Backend`."""

    name = "torch"
    dtype = "float32"

    def __init__(self, folder: Path, own: OwnSettings, profile: Profile, device: str, threads: int) -> None:
        self._device = _device(device)
        self.device = self._device.type
        self.block_tokens = _BLOCK_TOKENS[self.device]
        torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
        self._model = _load(folder / own.transformer).to(self._device)
        positions = getattr(self._model.config, "max_position_embeddings", None)
        if positions and positions > 0 and profile.max_length > positions:
            raise InputError(
                f"{folder}: max-length {profile.max_length} is beyond the model's {positions} positions"
            )
        self._pooling = profile.pooling
        self._unit = own.normalize or profile.similarity == "cosine"
        self.dim = own.dim
        self.vocabulary = int(self._model.get_input_embeddings().weight.shape[0])

    def forward(self, ids: Tokens, mask: Tokens) -> Vectors:
        """See `Backend.forward`."""
        try:
            with torch.inference_mode():
                tokens = torch.from_numpy(ids).to(self._device)
                attention = torch.from_numpy(mask).to(self._device)
                hidden: Tensor = self._model(input_ids=tokens, attention_mask=attention).last_hidden_state
                vectors = pool(hidden, attention, self._pooling)
                if self._unit:
                    vectors = torch.nn.functional.normalize(vectors, p=2, dim=1)
                return np.asarray(vectors.cpu().numpy(), dtype=np.float32)
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise MemoryError(str(error)) from error
        except RuntimeError as error:
            if "can't allocate memory" in str(error):  # what torch's CPU allocator says
                raise MemoryError(str(error)) from error
            raise


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


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(
            f"device '{name}': torch {torch.__version__} sees no GPU here",
            hint="set MSM_DEVICE=cpu, or start the worker where the GPU is visible",
        )
    return torch.device(name)


def _load(folder: Path) -> Any:
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        # float32 explicitly: transformers 5 would keep a checkpoint's half precision.
        model = AutoModel.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(
            f"{folder}: the model cannot be loaded: {first_line(error)}",
            hint="is it whole, and does transformers know its architecture? "
            "`msmctl systems pull NAME --from FOLDER` copies it anew",
        ) from error
    return model.eval()
