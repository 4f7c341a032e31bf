"""Which numbers the machine is fast with: measured, never guessed from its name."""

from __future__ import annotations

import time
from typing import Literal

_SIZE, _TIMES, _GAIN = 768, 6, 1.3


def fitting(asked: Literal["auto", "fp32", "bf16"], device: str, threads: int) -> Literal["fp32", "bf16"]:
    """`auto` is bf16 where a matrix product of that kind takes clearly less time, else fp32."""
    if asked != "auto":
        return asked
    import torch

    if device != "cpu" and torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        plain, half = (_seconds(dtype) for dtype in (torch.float32, torch.bfloat16))
    finally:
        torch.set_num_threads(before)
    return "bf16" if plain > _GAIN * half else "fp32"


def _seconds(dtype: object) -> float:
    """The shortest of some products: what disturbs only makes them longer."""
    import torch

    matrix = torch.ones(_SIZE, _SIZE).to(dtype)  # type: ignore[call-overload]
    best = float("inf")
    for _ in range(_TIMES):
        began = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - began)
    return best
