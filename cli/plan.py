"""`msmctl plan`: what a command would cost. `msmctl plan mine …` is `msmctl mine … --dry-run --measure`."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Any

import click

from cli.encode import encode
from cli.index import build
from cli.mine import mine
from cli.score import score
from cli.train import train

_SETTLED = {"dry_run": True, "measure": True, "detach": False}
_EXAMPLES = {
    "encode": "--system all-MiniLM-L6-v2",
    "index": "--system all-MiniLM-L6-v2",
    "mine": "--system bm25,all-MiniLM-L6-v2 --depth 50",
    "score": "--ce ms-marco-MiniLM-L6-v2 --top 20 --json",
    "train": "ce-bce --name ce-squad --set steps=2000",
}


@click.group()
def plan() -> None:
    """Measure for a few seconds, where the work would be done, what it would cost (docs/plan.md).

    `msmctl plan mine …` is `msmctl mine … --dry-run --measure`: it does nothing.

    \b
    Example:
      msmctl plan mine --system all-MiniLM-L6-v2
    """


def _planning(name: str, command: click.Command) -> click.Command:
    """The command with its own options, but that it only plans."""
    planning = copy(command)
    planning.name = name
    planning.params = [_hidden(one) if one.name in _SETTLED else one for one in command.params]
    planning.callback = partial(_call, command)
    planning.short_help = f"What `{name}` would cost."
    planning.help = (
        f"What `msmctl {name}` would cost: the same options, nothing is done.\n\n"
        f"\b\nExample:\n  msmctl plan {name} {_EXAMPLES[name]}"
    )
    return planning


def _call(command: click.Command, /, *args: Any, **given: Any) -> Any:
    callback = command.callback
    assert callback is not None  # noqa: S101 - all of them are made from functions
    return callback(*args, **given | _SETTLED)


def _hidden(option: click.Parameter) -> click.Parameter:
    """Taken, since people type it, but not shown."""
    hidden = copy(option)
    if isinstance(hidden, click.Option):
        hidden.hidden = True
    return hidden


for _name, _command in {
    "encode": encode,
    "index": build,
    "mine": mine,
    "score": score,
    "train": train,
}.items():
    plan.add_command(_planning(_name, _command))
