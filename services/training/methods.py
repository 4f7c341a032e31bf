"""Methods of training: how candidates become examples, examples batches, and batches a loss.

A new method is one file and one line here. Its upper half (examples, batches) runs where the store is,
its lower half (model, loss, trainer) in the training process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from services.negatives.block import CandidateBlock, Index

if TYPE_CHECKING:
    from services.training.base import Base
    from services.training.recipe import Recipe

METHODS = {
    "ce-bce": "services.training.ce_bce:CeBce",
    "mnrl": "services.training.mnrl:Mnrl",
}
Makes = Literal["cross-encoder", "bi-encoder"]
Rows = dict[str, npt.NDArray[np.int32]]
"""Examples as columns of equal length, int32; the column `qord` is always there."""
Lengths = Callable[[Rows], Index]
"""Tokens of each of some examples."""
Seed = Sequence[int]
Drawn = tuple[Index, npt.NDArray[np.int64]]
"""Positions of positives, and per positive those of its negatives' pairs, -1 where there are no more."""


@dataclass(frozen=True)
class Examples:
    """All examples of a run.

    Attributes:
        rows: One each.
        apart: Columns `qord` and `ord`, by `qord`: queries and passages that may not stand in one batch;
            empty where the method adds up.
    """

    rows: Rows
    apart: Rows


@dataclass(frozen=True)
class Texts:
    """The texts of some queries and passages by position, with the base's prompts before them."""

    query: Callable[[Sequence[int]], list[str]]
    passage: Callable[[Sequence[int]], list[str]]


class Method(Protocol):
    """A method."""

    makes: Makes
    adds_up: bool
    """Whether a batch's loss is the mean of its examples'; else they are each other's negatives."""

    def examples(self, block: CandidateBlock, drawn: Drawn, recipe: Recipe) -> Rows:
        """The examples of a block of queries."""

    def batches(
        self, examples: Examples, rows: Index, size: int, lengths: Lengths, seed: Seed
    ) -> list[Index]:
        """Cut some rows into `ceil(len(rows) / size)` batches.

        Args:
            examples: All of them.
            rows: Those to cut, shuffled.
            size: Examples per batch.
            lengths: Asked where it helps.
            seed: Of whatever is drawn.
        """

    def columns(self, rows: Rows, texts: Texts) -> dict[str, Any]:
        """The columns that the trainer reads, in the order that the loss expects."""

    def model(self, base: Base, recipe: Recipe, device: str) -> Any:
        """The model as it is before the first step."""

    def reopened(self, folder: str, device: str) -> Any:
        """The model of a checkpoint."""

    def loss(self, model: Any, recipe: Recipe, size: int | None = None) -> Any:
        """The loss; unless it adds up, with a size, one that computes so many examples at a time."""

    def trainer(self) -> tuple[Any, Any]:
        """The classes of the trainer and of its arguments."""

    def scores(
        self, model: Any, queries: list[str], passages: list[str], size: int
    ) -> npt.NDArray[np.float32]:
        """The model's score of each pair, so many computed at a time."""


def method_named(name: str) -> Method:
    """The method of that name; a recipe names none that there is not."""
    module, _, attribute = METHODS[name].partition(":")
    method: Method = getattr(import_module(module), attribute)()
    return method
