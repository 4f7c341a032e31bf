"""What computes scores from rows of tokens. One file per backend; the engine knows only this."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from services.cross_encoders.model_folder import OwnSettings
from services.cross_encoders.profile import Profile
from services.errors import InputError
from services.scoring.layout import Tokens

Scores = npt.NDArray[np.float32]

_BACKENDS = {"torch": "services.scoring.torch_backend:{}"}
_CLASSES = {"encoder": "ClassifierBackend", "decoder": "DecoderBackend"}


class Backend(Protocol):
    """A model made ready on one device.

    Attributes:
        device: Kind of device, such as `cpu` or `cuda`.
        vocabulary: Token ids are below this.
        block_tokens: Tokens per block that suit the device.
    """

    device: str
    vocabulary: int
    block_tokens: int

    def forward(self, ids: Tokens, mask: Tokens, types: Tokens | None) -> Scores:
        """Logits [rows] of rows of tokens [rows, length].

        Raises:
            MemoryError: the block does not fit; a smaller one may.
            RuntimeError: the block cannot be computed.
        """


def load_backend(
    name: str,
    folder: Path,
    own: OwnSettings,
    profile: Profile,
    answers: tuple[int, int] | None,
    device: str,
    threads: int,
) -> Backend:
    """A backend with a model folder loaded.

    Args:
        name: `torch`; further ones are a file and a line in `_BACKENDS`.
        folder: The model's files.
        own: What they say.
        profile: How the model is to be run.
        answers: A decoder's tokens for yes and no.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: Compute threads; 0: all cores.

    Raises:
        InputError: no such backend or device, or the model cannot be loaded.
    """
    if name not in _BACKENDS:
        raise InputError(f"unknown scoring backend '{name}'; known: {', '.join(_BACKENDS)}")
    module, _, attribute = _BACKENDS[name].format(_CLASSES[profile.kind]).partition(":")
    backend: Backend = getattr(import_module(module), attribute)(
        folder / own.transformer, profile.max_length, answers, device, threads
    )
    return backend
