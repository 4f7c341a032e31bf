"""What every model that runs on torch needs: a device, its weights in float32, memory that runs out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from services.errors import InputError, first_line

# Tokens per block. cpu: measured, 2 k is the best of 512 to 8 k on two machines (docs/benchmarks.md).
BLOCK_TOKENS = {"cpu": 2048, "cuda": 32768}


def prepared(device: str, threads: int) -> torch.device:
    """The device of that name; torch computes with so many threads from now on (0: all cores).

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: Compute threads.

    Raises:
        InputError: no such device.
    """
    use_threads(threads)
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(
            f"device '{device}': torch {torch.__version__} sees no GPU here",
            hint="set MSM_DEVICE=cpu, or start the worker where the GPU is visible",
        )
    return torch.device(device)


def use_threads(threads: int) -> None:
    """Let what this thread computes use so many threads from now on (0: all cores)."""
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))


@contextmanager
def one_thread() -> Iterator[None]:
    """Many small steps: what threads would gain is less than what their meeting at each step costs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def device_name(kind: str) -> str:
    """What to call a device in front of people: `cpu`, or the accelerator's name."""
    return kind if kind == "cpu" else torch.cuda.get_device_name(kind)


def loaded(auto_class: Any, folder: Path, again: str) -> tuple[Any, list[str]]:
    """A model in evaluation mode, float32, from a folder's safetensors; never code of its own.

    The second value names the weights that the folder does not have; torch made them up.

    Args:
        auto_class: The class of transformers that knows what to make of the folder.
        folder: Config and weights.
        again: The command that copies the model anew, for the error.

    Raises:
        InputError: it cannot be loaded.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        # float32 explicitly: transformers 5 would keep a checkpoint's half precision.
        model, about = auto_class.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(
            f"{folder}: the model cannot be loaded: {first_line(error)}",
            hint=f"is it whole, and does transformers know its architecture? `{again}` copies it anew",
        ) from error
    return model.eval(), sorted(about["missing_keys"])


def require_positions(folder: Path, model: Any, max_length: int) -> None:
    """InputError where texts may be longer than the model has positions."""
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions and 0 < positions < max_length:
        raise InputError(f"{folder}: max-length {max_length} is beyond the model's {positions} positions")


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn torch's ways to say that memory has run out into MemoryError."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise MemoryError(str(error)) from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error):  # what torch's CPU allocator says
            raise MemoryError(str(error)) from error
        raise
