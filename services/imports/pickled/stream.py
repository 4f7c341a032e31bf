"""The bytes of a pickle, window by window."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO

from services.errors import InputError

_WINDOW = 1 << 19


class Refused(Exception):
    """What is wrong with the bytes; the reader adds file and offset."""

    def __init__(self, why: str, hint: str | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint


class Stream:
    """A window on the bytes, moved on as they are read.

    Args:
        raw: The decompressed bytes.
        filled: Called whenever bytes were read.

    Attributes:
        window: The present bytes; of them `window[at:]` is unread.
        at: Position in the window.
        base: Offset of the window in the file.
        number: Grows by one with every new window.
    """

    def __init__(self, raw: IO[bytes], filled: Callable[[], None] = lambda: None) -> None:
        self._raw = raw
        self._filled = filled
        self.window = b""
        self.at = 0
        self.base = 0
        self.number = 0

    @property
    def offset(self) -> int:
        """Bytes read so far."""
        return self.base + self.at

    def take(self, size: int) -> bytes:
        """The next `size` bytes, at most a window's.

        Raises:
            Refused: the file ends before.
        """
        lo, hi = self.at, self.at + size
        if hi > len(self.window):
            self._fill()
            lo, hi = 0, size
            if hi > len(self.window):
                raise Refused(
                    "the pickle ends in the middle", "the file is cut off: fetch it or make it again"
                )
        self.at = hi
        return self.window[lo:hi]

    def line(self, longest: int) -> bytes:
        """Up to the next newline, which is left out; Refused where there is none within `longest` bytes."""
        if len(self.window) - self.at <= longest:
            self._fill()
        end = self.window.find(b"\n", self.at, self.at + longest + 1)
        if end < 0:
            raise Refused(f"a line of more than {longest} bytes, or the end of the file within it")
        found, self.at = self.window[self.at : end], end + 1
        return found

    def rest(self) -> bool:
        """Whether any byte is left."""
        if self.at == len(self.window):
            self._fill()
        return self.at < len(self.window)

    def _fill(self) -> None:
        self.base += self.at
        try:
            more = self._raw.read(_WINDOW)
        except OSError as error:
            raise Refused(
                f"the compressed file ends early or is damaged here: {error}", "fetch it again"
            ) from error
        self.window = self.window[self.at :] + more
        self.at = 0
        self.number += 1
        self._filled()


def refusal(file: object, offset: int, refused: Refused) -> InputError:
    """The error that a user sees."""
    hint = refused.hint or (
        "such a file is one dict of dicts of numbers, scores[qid][pid]; write it so with pickle.dump, "
        "protocol 2 to 5, ids as int or str, scores as float"
    )
    return InputError(f"{file}: byte {offset:,}: {refused.why}", hint=hint)
