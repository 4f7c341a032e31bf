"""What computes vectors from tokens. One file per backend; the engine knows only this."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from services.errors import InputError
from services.systems.model_folder import OwnSettings
from services.systems.profile import Profile

_BACKENDS = {"torch": "services.encoding.torch_backend:TorchBackend"}

Tokens = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]


class Backend(Protocol):
    """A model made ready on one device.

    Attributes:
        name: Its name, part of the vectors' fingerprint with `dtype`.
        dtype: The precision it computes in.
        device: Kind of device, such as `cpu` or `cuda`.
        dim: Width of a vector.
        vocabulary: Token ids are below this.
        block_tokens: Tokens per block that suit the device.
    """

    name: str
    dtype: str
    device: str
    dim: int
    vocabulary: int
    block_tokens: int

    def forward(self, ids: Tokens, mask: Tokens) -> Vectors:
        """Pooled vectors [rows, dim] of padded token ids and their mask, both [rows, length].

        Raises:
            MemoryError: the block does not fit; a smaller one may.
            RuntimeError: the block cannot be computed.
        """


def load_backend(
    name: str, folder: Path, own: OwnSettings, profile: Profile, device: str, threads: int
) -> Backend:
    """A backend with a model folder loaded.

    Args:
        name: `torch`; further ones are a file and a line in `_BACKENDS`.
        folder: The model's files.
        own: What they say.
        profile: How the model is to be run.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: Compute threads; 0: all cores.

    Raises:
        InputError: no such backend or device, or the model cannot be loaded.
    """
    if name not in _BACKENDS:
        raise InputError(f"unknown encoding backend '{name}'; known: {', '.join(_BACKENDS)}")
    module, _, attribute = _BACKENDS[name].partition(":")
    backend: Backend = getattr(import_module(module), attribute)(folder, own, profile, device, threads)
    return backend
