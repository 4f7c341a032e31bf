"""A numpy float32 or float64 scalar as numpy pickles it, recognised as exactly that shape.

`scalar(dtype(code, False, True) with state (3, order, None, None, None, -1, -1, 0), bytes)`, where
protocols below 3 write the bytes as `_codecs.encode(text, "latin1")`. Nothing is imported or called.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from services.imports.pickled.runs import Shape
from services.imports.pickled.stream import Refused

_GLOBALS = {
    ("numpy._core.multiarray", "scalar"): "scalar",  # numpy 2
    ("numpy.core.multiarray", "scalar"): "scalar",  # numpy 1
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
}
_FORMATS = {"f4": "f", "f8": "d"}


@dataclass(frozen=True)
class Global:
    """One of the names that a numpy scalar needs."""

    name: str


@dataclass
class Dtype:
    """A dtype under construction; complete with its byte order."""

    code: str
    order: str = ""


def known_global(module: object, name: object) -> Global:
    """The global of that name.

    Raises:
        Refused: it is none of those that a numpy scalar needs.
    """
    found = _GLOBALS.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
    if found is None:
        raise Refused(
            f"names {str(module)[:80]}.{str(name)[:80]}: a pickle can run any program when it is loaded, "
            "and this one holds more than numbers; nothing was run",
            "do not load it with pickle either, unless you trust its maker; scores are floats",
        )
    return Global(found)


def reduced(function: object, arguments: object) -> Dtype | bytes | float:
    """What `function(*arguments)` would be: a dtype, the bytes of a scalar, or a scalar.

    Raises:
        Refused: it is none of these.
    """
    name = function.name if isinstance(function, Global) else ""
    match name, arguments:
        case "dtype", (str() as code, (False | 0), (True | 1)) if code in _FORMATS:
            return Dtype(code)
        case "dtype", (str() as code, *_) if code[:1] in ("i", "u"):
            raise Refused(
                f"holds an integer of numpy ({code})",
                "ids are int or str: write int(id); scores float(score)",
            )
        case "encode", (str() as text, "latin1"):
            return _latin1(text)
        case "scalar", (Dtype(code=code, order=order), bytes() as raw) if order:
            if len(raw) == struct.calcsize(_FORMATS[code]):
                return float(struct.unpack(order + _FORMATS[code], raw)[0])
    raise Refused(
        f"calls {name or 'something'} with arguments that no float32 or float64 has",
        "scores must be float, numpy.float32 or numpy.float64: write float(score)",
    )


def build(dtype: object, state: object) -> None:
    """Complete a dtype by its state.

    Raises:
        Refused: it is no state of a float.
    """
    match state:
        case (3, ("<" | ">") as order, None, None, None, -1, -1, 0) if isinstance(dtype, Dtype):
            dtype.order = order
        case _:
            raise Refused("builds something that is no dtype of numpy's floats")


def shape_of(scalar: int | None, dtype: Dtype, number: int | None) -> Shape | None:
    """How further scalars are written in protocol 4 and later, by the memo numbers of scalar and dtype."""
    if scalar is None or number is None:
        return None
    width = struct.calcsize(_FORMATS[dtype.code])
    prefix = _fetch(scalar) + _fetch(number) + b"C" + bytes([width])
    return Shape(prefix, dtype.order + dtype.code, b"\x94\x86\x94R\x94", memos=3)


def _fetch(number: int) -> bytes:
    return b"h" + bytes([number]) if number < 256 else b"j" + number.to_bytes(4, "little")


def _latin1(text: str) -> bytes:
    try:
        return text.encode("latin1")
    except UnicodeEncodeError:
        raise Refused("the bytes of a numpy scalar are no latin1 text") from None
