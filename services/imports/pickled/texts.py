"""Many (pid, score) pairs at once where pids are texts: new ones, or fetched from the memo."""

from __future__ import annotations

from struct import Struct, error
from typing import TYPE_CHECKING

from services.imports.pickled.stream import Refused

if TYPE_CHECKING:
    from services.imports.pickled.memo import Memo

_NUMBER = Struct(">d").unpack_from
_SHORT_TEXT, _TEXT = 0x8C, 0x58
_GET, _LONG_GET = 0x68, 0x6A
_MEMOIZE, _PUT, _LONG_PUT = 0x94, 0x71, 0x72
_FLOAT = 0x47


def text_pairs(window: bytes, at: int, memo: Memo, longest: int) -> tuple[list[str], list[float], int]:
    """The pairs of a text and a Python float that begin at a position.

    It stops where anything else is, or a pair is not whole or not right: whoever reads the opcodes one by
    one then says what it is.

    Returns:
        Texts, numbers, and the position behind the last pair.
    """
    pids: list[str] = []
    numbers: list[float] = []
    try:
        while True:
            code = window[at]
            if code in (_SHORT_TEXT, _TEXT):
                begin = at + (2 if code == _SHORT_TEXT else 5)
                end = begin + int.from_bytes(window[at + 1 : begin], "little")
                if end - begin > longest:
                    break
                put, behind = _put(window, end, memo)
                if window[behind] != _FLOAT:
                    break
                (number,) = _NUMBER(window, behind + 1)
                text = window[begin:end].decode()
                if put:
                    memo.put_text(text)
            elif code in (_GET, _LONG_GET):
                behind = at + (2 if code == _GET else 5)
                if window[behind] != _FLOAT:
                    break
                (number,) = _NUMBER(window, behind + 1)
                fetched = memo.get(int.from_bytes(window[at + 1 : behind], "little"))
                if not isinstance(fetched, str):
                    break
                text = fetched
            else:
                break
            at = behind + 9
            pids.append(text)
            numbers.append(number)
    except (IndexError, error, UnicodeDecodeError, Refused):
        pass  # the end of the window, or what is refused when it is read by itself
    return pids, numbers, at


def _put(window: bytes, at: int, memo: Memo) -> tuple[bool, int]:
    """Whether the text before is put into the memo, and the position behind; Refused for a wrong number."""
    code = window[at]
    if code == _MEMOIZE:
        return True, at + 1
    if code not in (_PUT, _LONG_PUT):
        return False, at
    end = at + (2 if code == _PUT else 5)
    if int.from_bytes(window[at + 1 : end], "little") != memo.count:
        raise Refused("another memo number")
    return True, end
