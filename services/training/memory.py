"""Steps that do not fit into memory go on in pieces: the batch stays what it is, and so does its loss.

A method whose loss is the mean of its examples' losses is computed a piece at a time, gradients added up. One
whose examples are each other's negatives has a loss of its own that does the same (`Method.loss` with a
size). Equal up to rounding; dropout draws other masks, as the pieces have other shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from services.training.methods import Method
from services.training.steps import seed_step
from services.training.task import Cut, Task

_SCORED = 32
"""Pairs that are scored at a time, where memory holds them."""


def is_out_of_memory(error: BaseException) -> bool:
    """Torch has a type of its own for accelerators; on a CPU its allocator raises a RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def in_pieces(trainer_type: Any, method: Method, task: Task, tell: Callable[[Cut], None]) -> Any:
    """The trainer of a method, whose steps are cut in halves, again and again, until they fit."""

    class Pieces(trainer_type):  # type: ignore[misc]
        size: int | None = None
        """Examples that are computed at a time; None: all of a step."""

        def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
            while True:
                try:
                    if self.size is None or not method.adds_up:
                        return super().training_step(model, dict(inputs), num_items_in_batch)
                    return self._added_up(model, inputs, self.size)
                except (MemoryError, RuntimeError) as error:
                    if not is_out_of_memory(error) or self.size == 1:
                        raise
                # Here, not above: the error's frames hold what did not fit.
                self._halve(model)

        def _added_up(self, model: Any, inputs: dict[str, Any], size: int) -> Any:
            """The mean over all examples, from pieces; gradients as of that mean."""
            model.train()
            count = len(next(iter(inputs.values())))
            total = torch.zeros((), device=self.args.device)
            for lo in range(0, count, size):
                piece = {name: column[lo : lo + size] for name, column in inputs.items()}
                share = len(next(iter(piece.values()))) / count
                with self.compute_loss_context_manager():
                    loss = share * self.compute_loss(model, self._prepare_inputs(piece))
                self.accelerator.backward(loss)
                total += loss.detach()
            return total

        def _halve(self, model: Any) -> None:
            self.size = max(1, (self.size or task.recipe.batch) // 2)
            model.zero_grad(set_to_none=True)
            _give_back()
            if not method.adds_up:
                self.loss = self.prepare_loss(method.loss(self.model, task.recipe, self.size), self.model)
            seed_step(task.recipe.seed, self.state.global_step)
            tell(Cut(step=self.state.global_step + 1, size=self.size))

    return Pieces


def scores(
    method: Method, model: Any, queries: list[str], passages: list[str], tell: Callable[[Cut], None]
) -> npt.NDArray[np.float32]:
    """The model's score of each pair; half as many at a time, again and again, until they fit."""
    size = _SCORED
    while True:
        try:
            return method.scores(model, queries, passages, size)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or size == 1:
                raise
        size //= 2
        _give_back()
        tell(Cut(step=None, size=size))


def _give_back() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
