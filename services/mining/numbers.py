"""Numbers in files that others made and that become scores, which are kept as float32."""

from __future__ import annotations

import struct

from services.collections.bad_row import BadRow

TOO_LARGE = 2.0**128 - 2.0**103
"""The least double that float32 rounds to infinity. Of what is less, nothing is infinite or NaN."""


_FLOAT32 = struct.Struct("f")


def rounded(value: float) -> float:
    """The nearest number that float32 has, of a finite one: what trec_eval reads, and orders runs by."""
    number: float = _FLOAT32.unpack(_FLOAT32.pack(value))[0]
    return number


def parse_number(text: str, what: str) -> float:
    """A finite number.

    Args:
        text: As the file has it.
        what: What it is, for the message.

    Raises:
        BadRow: it is none, or beyond what float32 holds.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < TOO_LARGE:
        raise BadRow(
            f"{what} {text[:40]!r} is no finite number of float32",
            f"write the {what} as a number below 3.4e38",
        )
    return value


def is_number(cell: str) -> bool:
    """Whether it is spelt like a number; NaN and infinity are too, which `parse_number` refuses."""
    try:
        float(cell)
    except ValueError:
        return False
    return True
