"""What computes vectors, or term weights, from tokens. One file per backend; the engine knows only this."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from services.encoding.gathering import Gathering
from services.encoding.weights import Weights
from services.systems.model_folder import OwnSettings
from services.systems.profile import Profile, SparseProfile

Tokens = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]
R = TypeVar("R")


class Backend(Protocol[R]):
    """A model made ready on one device.

    Attributes:
        name: Its name, part of the vectors' fingerprint with `dtype`.
        dtype: The precision it computes in.
        device: Kind of device, such as `cpu` or `cuda`.
        dim: Width of a vector; of term weights the size of the vocabulary.
        vocabulary: Token ids are below this.
        block_tokens: Tokens per block that suit the device.
    """

    name: str
    dtype: str
    device: str
    dim: int
    vocabulary: int
    block_tokens: int

    def forward(self, ids: Tokens, mask: Tokens) -> R:
        """Pooled rows [rows, dim] of padded token ids and their mask, both [rows, length].

        Raises:
            MemoryError: the block does not fit; a smaller one may.
            RuntimeError: the block cannot be computed.
        """

    def gathering(self, count: int) -> Gathering[R]:
        """Where the rows of so many texts are put."""


AnyBackend = Backend[Vectors] | Backend[Weights]


def backend_name(profile: Profile) -> str:
    """Which backend runs a model; part of what its vectors are known by."""
    return "splade" if isinstance(profile, SparseProfile) else "torch"


def load_backend(folder: Path, own: OwnSettings, profile: Profile, device: str, threads: int) -> AnyBackend:
    """A backend with a model folder loaded.

    Args:
        folder: The model's files.
        own: What they say.
        profile: How the model is to be run.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: Compute threads; 0: all cores.

    Raises:
        InputError: no such device, or the model cannot be loaded.
    """
    if isinstance(profile, SparseProfile):
        from services.encoding.splade_backend import SpladeBackend

        return SpladeBackend(folder, own, profile, device, threads)
    from services.encoding.torch_backend import TorchBackend

    return TorchBackend(folder, own, profile, device, threads)
