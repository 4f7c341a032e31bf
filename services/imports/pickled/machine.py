"""The stack machine: opcodes of nested dicts of ids and numbers, nothing else.

The stack never holds more than `outer MARK qid scores MARK pid …` and a numpy scalar in the making: what
is complete leaves it at once, so that memory does not grow with the file, and a stack of another form is
refused at the opcode that makes it so. A method for each opcode: the file is as long as the table.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from math import isfinite

import numpy as np

from services.imports.pickled import numpy_scalar
from services.imports.pickled.memo import Memo
from services.imports.pickled.numpy_scalar import Dtype, Global
from services.imports.pickled.runs import FLOAT, Floats, Ints, Runs, Shape
from services.imports.pickled.stream import Refused, Stream
from services.imports.pickled.texts import text_pairs
from services.imports.pickled.values import MARK, NOTHING, OUTER, Id, Outer, Scores
from services.shown import shown

LONGEST_TEXT = 512
_DEEPEST = 32
_NEXT_QUERY = re.compile(rb"u(K.|M..|J....)}(\x94|q.|r....)?\(", re.DOTALL)
"""From the last pair of a query to the first of the next, where the qid is an integer."""
_NOT_FINITE = "leave it out, or score the pair again"
_ATOMS = (int, str, bytes, type(None), Global, Dtype)
_PIECE = 1 << 18  # pairs of one query that are handed on together


class Machine:
    """Runs through a stream; `queries` gives what it finds.

    Args:
        stream: The bytes.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.memo = Memo()
        self.opcode_at = 0
        self._stack: list[object] = []
        self._last: object = NOTHING  # what a put would keep; None: what is never fetched
        self._protocol = 0
        self._frame_end = 0
        self._ended = False
        self._shape: Shape = FLOAT
        self._runs: Runs | None = None
        self._runs_of: tuple[int, Shape] = (-1, FLOAT)
        self._done: list[Scores] = []
        self._codes: dict[int, Callable[[], None]] = self._table()

    def queries(self) -> Iterator[Scores]:
        """Each query's scores, complete or (`size` above a quarter of a million) a piece of them.

        Raises:
            Refused: the file has anything else in it; `opcode_at` is where.
        """
        stream, stack, codes = self._stream, self._stack, self._codes
        while not self._ended:
            self.opcode_at = stream.offset
            code = stream.take(1)[0]
            handler = codes.get(code)
            if handler is None:
                raise Refused(f"opcode {_named(code)} has no place in a file of scores; nothing was run")
            handler()
            if len(stack) > _DEEPEST:
                raise Refused("nested deeper than a dict of dicts of numbers")
            if stack and stack[-1] is MARK and isinstance(stack[-2], Scores):
                yield from self._read_runs(stack[-2])
            if self._done:
                yield from self._done
                self._done.clear()
            elif stack and isinstance(filling := stack[-1], Scores) and filling.size > _PIECE:
                yield filling
        if stream.rest():
            self.opcode_at = stream.offset
            raise Refused("something follows the end of the pickle", "write one dict to a file of its own")

    def _read_runs(self, scores: Scores) -> Iterator[Scores]:
        """All pairs and whole queries that follow and are of a common form, many at a time."""
        stream, stack = self._stream, self._stack
        while found := self._run():
            pids, numbers, stream.at = found
            scores.extend(pids, numbers)
            self._last = None
            following = _NEXT_QUERY.match(stream.window, stream.at)
            if following is None or stack[-4] is not MARK:
                continue
            if following[2]:
                index = int.from_bytes(following[2][1:], "little") if len(following[2]) > 1 else None
                self.memo.put(None, index)
            yield scores
            self._last = NOTHING
            key = following[1]
            self.opcode_at = stream.offset
            stream.at = following.end()
            scores = Scores(int.from_bytes(key[1:], "little", signed=len(key) == 5), self.opcode_at)
            stack[-3:] = [scores.qid, scores, MARK]
        if scores.size > _PIECE:
            yield scores

    def _run(self) -> tuple[Ints | list[Id], Floats, int] | None:
        """The pairs that begin here, and the position behind them; None where there are none."""
        stream = self._stream
        if self._runs is None or self._runs_of != (stream.number, self._shape):
            self._runs = Runs(stream.window, self._shape)
            self._runs_of = stream.number, self._shape
        found = self._runs.after(stream.at)
        if found is not None:
            pids, numbers, end = found
            self.memo.skip(self._shape.memos * len(pids))
            if not self._runs.finite:
                _check_finite(pids, numbers)
            return found
        texts, values, end = text_pairs(stream.window, stream.at, self.memo, LONGEST_TEXT)
        if not texts:
            return None
        numbers = np.array(values, np.float64)
        _check_finite(texts, numbers)
        return list(texts), numbers, end

    def _table(self) -> dict[int, Callable[[], None]]:
        stream = self._stream
        simple: dict[bytes, Callable[[], None]] = {
            b"\x80": self._proto,
            b"\x95": self._frame,
            b".": self._stop,
            b"}": self._dict,
            b"(": self._mark,
            b"u": self._setitems,
            b"s": self._setitem,
            b"\x86": lambda: self._tuple_of(2),
            b"\x87": lambda: self._tuple_of(3),
            b"t": self._tuple,
            b"R": self._reduce,
            b"b": self._build,
            b"c": self._global,
            b"\x93": self._stack_global,
            b"N": lambda: self._push(None),
            b"\x88": lambda: self._push(True),
            b"\x89": lambda: self._push(False),
            b"K": lambda: self._push(stream.take(1)[0]),
            b"M": lambda: self._push(self._int(2)),
            b"J": lambda: self._push(self._int(4, signed=True)),
            b"\x8a": self._long,
            b"G": lambda: self._number(struct.unpack(">d", stream.take(8))[0]),
            b"X": lambda: self._text(4),
            b"\x8c": lambda: self._text(1),
            b"\x8d": lambda: self._text(8),
            b"C": lambda: self._push(stream.take(self._int(1))),
            b"q": lambda: self._put(self._int(1)),
            b"r": lambda: self._put(self._int(4)),
            b"\x94": self._put,
            b"h": lambda: self._push(self.memo.get(self._int(1))),
            b"j": lambda: self._push(self.memo.get(self._int(4))),
        }
        return {code[0]: handler for code, handler in simple.items()}

    # -- atoms -------------------------------------------------------------------------------------

    def _push(self, value: object) -> None:
        self._stack.append(value)
        self._last = value if isinstance(value, str | Global | Dtype) else None

    def _put(self, index: int | None = None) -> None:
        if self._last is NOTHING:
            raise Refused("puts nothing into the memo")
        self.memo.put(self._last, index)

    def _int(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self._stream.take(size), "little", signed=signed)

    def _long(self) -> None:
        size = self._int(1)
        if size > 8:
            raise Refused(f"an integer of {size} bytes", "ids are integers below 2^63, or text")
        self._push(self._int(size, signed=True))

    def _text(self, width: int) -> None:
        size = self._int(width)
        if size > LONGEST_TEXT:
            raise Refused(f"a text of {size:,} bytes", f"an id has at most {LONGEST_TEXT} bytes")
        try:
            self._push(self._stream.take(size).decode())
        except UnicodeDecodeError:
            raise Refused("an id that is not UTF-8") from None

    def _number(self, value: float) -> None:
        """A score: into the dict of its query, or where SETITEM follows, on the stack."""
        stack = self._stack
        self._last = None
        if not isfinite(value):
            raise Refused(f"a score of {value}, which is no finite number", _NOT_FINITE)
        below = stack[-2] if len(stack) >= 2 else None
        if below is MARK and isinstance(scores := stack[-3], Scores):
            scores.add(self._key(stack[-1]), value)
            stack.pop()
        elif isinstance(below, Scores):
            stack.append(value)
        else:
            raise Refused("a number where the scores of a query, a dict, are expected")

    def _key(self, value: object) -> Id:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise Refused(f"{type(value).__name__} as an id, which is an int or a str")
        return value

    # -- dicts -------------------------------------------------------------------------------------

    def _dict(self) -> None:
        if not self._protocol:
            raise Refused("a pickle of protocol 0 or 1", "write it with protocol 2 to 5")
        stack = self._stack
        self._last = None
        if not stack:
            stack.append(OUTER)
            return
        if len(stack) >= 4 and isinstance(stack[-2], Scores) and stack[-4] is MARK:
            self._done.append(stack[-2])  # nothing can reach it any more
            del stack[-3:-1]
        if len(stack) < 2 or not (stack[-2] is OUTER or stack[-3:-1] == [OUTER, MARK]):
            raise Refused("a dict that is not the scores of a query")
        stack.append(Scores(self._key(stack[-1]), self.opcode_at))

    def _mark(self) -> None:
        if not self._stack or not isinstance(self._stack[-1], Outer | Scores | Dtype):
            raise Refused("MARK, but not for the items of a dict")
        self._stack.append(MARK)
        self._last = NOTHING

    def _setitems(self) -> None:
        stack = self._stack
        if len(stack) >= 4 and isinstance(stack[-1], Scores) and stack[-3] is MARK:
            self._done.append(stack[-1])
            del stack[-2:]
        if len(stack) < 2 or stack[-1] is not MARK or not isinstance(stack[-2], Outer | Scores):
            raise Refused("SETITEMS of something that is no pairs of ids and scores")
        stack.pop()
        self._last = NOTHING

    def _setitem(self) -> None:
        match self._stack[-3:]:
            case [Scores() as scores, pid, float(score)]:
                scores.add(self._key(pid), score)
            case [Outer(), _, Scores() as scores]:
                self._done.append(scores)
            case _:
                raise Refused("SETITEM of something that is no id and score")
        del self._stack[-2:]
        self._last = NOTHING

    # -- what a numpy scalar is made of ------------------------------------------------------------

    def _pop(self) -> object:
        if not self._stack:
            raise Refused("takes from an empty stack")
        return self._stack.pop()

    def _global(self) -> None:
        names = [self._stream.line(LONGEST_TEXT).decode("ascii", "replace") for _ in range(2)]
        self._push(numpy_scalar.known_global(*names))

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self._push(numpy_scalar.known_global(module, name))

    def _tuple_of(self, size: int) -> None:
        if len(self._stack) < size:
            raise Refused("a tuple of more than there is")
        self._collect(len(self._stack) - size)

    def _tuple(self) -> None:
        place = len(self._stack) - 1
        while place >= 0 and self._stack[place] is not MARK:
            place -= 1
        if place < 0:
            raise Refused("a tuple without its beginning")
        del self._stack[place]
        self._collect(place)

    def _collect(self, place: int) -> None:
        """The top of the stack as a tuple: of atoms alone, as a numpy scalar's are, so that none nests."""
        taken = tuple(self._stack[place:])
        if not all(isinstance(value, _ATOMS) for value in taken):
            raise Refused("a tuple that is no part of a numpy number")
        del self._stack[place:]
        self._push(taken)

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        value = numpy_scalar.reduced(function, arguments)
        if not isinstance(value, float):
            self._push(value)
            return
        self._number(value)
        if self._protocol >= 4 and isinstance(arguments, tuple):
            dtype = arguments[0]
            numbers = self.memo.number_of(function), self.memo.number_of(dtype)
            self._shape = numpy_scalar.shape_of(numbers[0], dtype, numbers[1]) or self._shape

    def _build(self) -> None:
        state = self._pop()
        numpy_scalar.build(self._stack[-1] if self._stack else None, state)
        self._last = None

    # -- framing -----------------------------------------------------------------------------------

    def _proto(self) -> None:
        self._protocol = self._int(1)
        if self.opcode_at or not 2 <= self._protocol <= 5:
            raise Refused(f"protocol {self._protocol}", "write it with protocol 2 to 5")

    def _frame(self) -> None:
        size = self._int(8)
        if self._stream.offset - 9 < self._frame_end:
            raise Refused("a frame within a frame")
        self._frame_end = self._stream.offset + size

    def _stop(self) -> None:
        if self._stack != [OUTER]:
            raise Refused("the pickle ends, and is no dict of dicts of numbers")
        if self._stream.offset < self._frame_end:
            raise Refused("the pickle ends within a frame", "the file is damaged: fetch it again")
        self._ended = True


def _named(code: int) -> str:
    """An opcode for people, such as `GLOBAL (0x63)`."""
    import pickletools

    known = next((one.name for one in pickletools.opcodes if ord(one.code) == code), "?")
    return f"{known} (0x{code:02x})"


def _check_finite(pids: Ints | list[str], numbers: Floats) -> None:
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        where = f"passage {shown(pids[int(bad[0])])}"
        raise Refused(f"{where}: a score of {numbers[bad[0]]}, which is no finite number", _NOT_FINITE)
