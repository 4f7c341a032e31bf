"""The training process: `python -m services.training.child`. Reads a `Task`, writes events, and ends.

It goes down with its parent, whatever kills that: its stdin, held open by the parent, ends then.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import IO, Any

from services.training.task import Event, Failed, Saved, Scored, Task


def main() -> None:
    """Do one task."""
    tell = _Teller()
    task = Task.model_validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, args=(task.scratch,), daemon=True).start()
    try:
        _quiet()
        _score(task, tell) if task.work == "score" else _train(task, tell)
    except (MemoryError, RuntimeError) as error:
        from services.training.memory import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        tell(_out_of_memory(error, task))


class _Teller:
    """Writes events to what was stdout; whatever prints from now on goes to stderr."""

    def __init__(self) -> None:
        self._out: IO[str] = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)

    def __call__(self, event: Event) -> None:
        self._out.write(event.model_dump_json() + "\n")


def _end_with_parent(scratch: str) -> None:
    while os.read(0, 4096):
        pass
    shutil.rmtree(scratch, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def _quiet() -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]


def _device(task: Task) -> str:
    import torch

    torch.set_num_threads(task.threads)
    if task.device != "auto":
        return task.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def _model(task: Task, folder: str | None, method: Any, device: str) -> Any:
    """The model of a folder, or the base's with what is fresh in it drawn from the seed."""
    import torch

    if folder is not None:
        return method.reopened(folder, device)
    torch.manual_seed(task.recipe.seed)
    return method.model(task.base, task.recipe, device)


def _train(task: Task, tell: _Teller) -> None:
    import pyarrow.parquet as pq
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from transformers import PrinterCallback

    from services.training.memory import in_pieces
    from services.training.methods import method_named
    from services.training.steps import Steps

    method = method_named(task.recipe.method)
    device = _device(task)
    model = _model(task, task.checkpoint, method, device)
    trainer_type, arguments_type = method.trainer()
    steps = Steps(task, tell)
    trainer = in_pieces(trainer_type, method, task, tell)(
        model=model,
        args=_arguments(task, arguments_type, device),
        train_dataset=Dataset(InMemoryTable(pq.read_table(task.data))),
        loss=method.loss(model, task.recipe),
        callbacks=[steps],
    )
    for noisy in (PrinterCallback, trainer_type.model_card_callback_class):
        trainer.remove_callback(noisy)
    trainer.train(resume_from_checkpoint=task.checkpoint)
    if steps.failed is None and task.work == "train":
        step = trainer.state.global_step
        tell(Saved(step=step, folder=str(Path(task.scratch) / f"checkpoint-{step}"), device=device))


def _arguments(task: Task, arguments_type: Any, device: str) -> Any:
    from services.training.steps import as_given

    recipe = task.recipe
    return arguments_type(
        output_dir=task.scratch,
        max_steps=task.total,
        per_device_train_batch_size=recipe.batch,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        warmup_steps=recipe.warmup,  # a share, as it is below 1
        lr_scheduler_type="constant_with_warmup" if recipe.schedule == "constant" else recipe.schedule,
        bf16=task.precision == "bf16",
        seed=recipe.seed,
        batch_sampler=partial(as_given, task.sizes, task.total),
        ignore_data_skip=True,  # the data begin with the first step that is missing
        use_cpu=device == "cpu",
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",  # the callback asks for it after the last step
        dataloader_pin_memory=device != "cpu",
        disable_tqdm=True,
        report_to="none",
    )


def _score(task: Task, tell: _Teller) -> None:
    import pyarrow.parquet as pq

    from services.training.memory import scores
    from services.training.methods import method_named

    method = method_named(task.recipe.method)
    device = _device(task)
    pairs = pq.read_table(task.data)
    queries, passages = pairs["query"].to_pylist(), pairs["passage"].to_pylist()
    for folder in task.models:
        found = scores(method, _model(task, folder, method, device), queries, passages, tell)
        tell(Scored(scores=found.tolist()))


def _out_of_memory(error: BaseException, task: Task) -> Failed:
    """What steps of one example at a time cannot help: the model, or a single text, is too large."""
    said = (
        f"out of memory, a single example at a time: {(str(error) or type(error).__name__).splitlines()[0]}"
    )
    if task.work == "score":
        return Failed(
            message=f"evaluation: {said}",
            hint="more memory, then `msmctl jobs retry`: all steps are done and kept",
        )
    return Failed(
        message=f"steps {task.lo} to {task.hi}: {said}",
        hint=f"--set max_length={max(task.recipe.max_length // 2, 8)}, a smaller base, or more memory",
    )


if __name__ == "__main__":
    main()
