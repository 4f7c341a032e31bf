"""What an export format is: a name, help, how a block of negatives is encoded, and where that goes.

A new format is one file with a `Format` and one line in `services/exports/registry.py`. It never decides
what a negative is: a `Selected` block is what verdicts, people's marks and the filters asked for leave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from services.collections.collection import Collection, Ords
from services.negatives.block import CandidateBlock, Index, Mask
from services.negatives.selection import Selection

Id = str | int
T = TypeVar("T")
In = TypeVar("In", contravariant=True)


@dataclass(frozen=True)
class Selected:
    """A block of queries with what is left of their candidates.

    Attributes:
        block: Queries ascending by qord; `block.positives` are what goes into `pos`.
        kept: Per row, whether it is a negative of its system.
        selection: What left it; `admits` says which positives a negative may stand beside.
    """

    block: CandidateBlock
    kept: Mask
    selection: Selection

    @cached_property
    def negatives(self) -> Index:
        """Positions in `block.pairs`: each negative once, by query, then by best rank over the systems."""
        return self.block.merged(self.kept)

    def admits(self, positive: Index, pair: Index) -> Mask:
        """Whether a positive (position in `block.positives`) and a negative may form a triplet."""
        return self.selection.admits(self.block, positive, pair)


class Lookup:
    """Ids and texts of a collection, as exports write them.

    Ids are integers where every id of the collection is canonical decimal below 2^63, else strings.
    """

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self.integer_ids = collection.state.integer_ids

    def pids(self, ords: Ords) -> list[Id]:
        """Of some passages, in the order given, repeats included."""
        distinct, back = np.unique(ords, return_inverse=True)
        return list(_objects(self._typed(self._collection.pids_of(distinct)))[back])

    def qids(self, block: CandidateBlock) -> list[Id]:
        """Of a block's queries."""
        return self._typed(block.qids)

    def texts(self, ords: Ords) -> list[str]:
        """Of some passages (title, space, text), in the order given, repeats included."""
        distinct, back = np.unique(ords, return_inverse=True)
        return list(_objects(self._collection.texts_of(distinct))[back])

    def query_texts(self, block: CandidateBlock) -> list[str]:
        """Of a block's queries."""
        lo, hi = int(block.qords[0]), int(block.qords[-1]) + 1
        texts = self._collection.read_queries(lo, hi, ["text"])["text"].take(block.qords - lo)
        return list(texts.to_pylist())

    def _typed(self, ids: list[str]) -> list[Id]:
        return list(map(int, ids)) if self.integer_ids else list(ids)


def _objects(values: list[str] | list[Id]) -> npt.NDArray[np.object_]:
    found = np.empty(len(values), object)
    found[:] = values
    return found


class Sink(Protocol[In]):
    """Where the encoded blocks go: nothing is to be seen of it before `publish`.

    Attributes:
        blocks: Blocks that are complete, those of a killed export included: it goes on behind them.
        counts: Sums of the counts of all complete blocks.
    """

    blocks: int
    counts: dict[str, int]

    def open(self) -> AbstractContextManager[Sink[In]]:
        """Take the unfinished output; raises Conflict where another process has it."""

    def add(self, block: In, **counts: int) -> None:
        """Append one block."""

    @property
    def partial(self) -> Path:
        """The unfinished output."""

    def publish(self, manifest: bytes) -> None:
        """Put manifest and output in place."""

    def discard(self) -> None:
        """Remove what is unfinished."""


class Encoded(Generic[T]):
    """A block as a sink takes it, and what is in it.

    Attributes:
        content: As the format's sink takes it.
        counts: Summed up over all blocks: `queries`, `negatives`, and what else a format counts. An
            export in which nothing but `queries` is above zero fails.
    """

    def __init__(self, content: T, **counts: int) -> None:
        self.content = content
        self.counts: Mapping[str, int] = counts


@dataclass(frozen=True)
class Format(Generic[T]):
    """A format.

    Attributes:
        name: As the command line has it.
        help: One line for people.
        example: A file name.
        encode: A block's content, which depends on its queries alone, with its counts.
        sink: Makes the sink, from the place and the fingerprint of all inputs.
        scores: Whether it holds cross-encoder scores, so that `--ce` must name some.
    """

    name: str
    help: str
    example: str
    encode: Callable[[Selected, Lookup], Encoded[T]]
    sink: Callable[[Path, str], Sink[T]]
    scores: bool = False
