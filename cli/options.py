"""Options that are spelt alike everywhere, and what a command starts from."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import click

if TYPE_CHECKING:
    from services.collections.collection import Collection
    from services.settings import Settings
    from services.store import Store


class CommaList(click.ParamType[list[str]]):
    """A name, or several joined by commas."""

    name = "name[,name]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """Split at commas; empty names are refused."""
        if isinstance(value, list):
            return value
        names = [name.strip() for name in str(value).split(",")]
        if not all(names):
            self.fail(f"'{value}' has an empty name", param, ctx)
        return names


def flat(ctx: click.Context, param: click.Parameter, values: tuple[list[str], ...]) -> list[str]:
    """Several lists as one, each name once."""
    return list(dict.fromkeys(name for names in values for name in names))


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON (shapes: docs/json.md).")
collection_option = click.option("--collection", "-c", help="Collection; default: the current one.")
split_option = click.option("--split", default="train", show_default=True, help="Split of the queries.")
system_option = click.option(
    "--system",
    "systems",
    multiple=True,
    required=True,
    type=CommaList(),
    callback=flat,
    help="System; repeat, or join by commas.",
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done; do nothing.")


class How(TypedDict):
    """How jobs are run and told of: the options of `job_options`, as `cli.waiting.run_specs` takes them."""

    detach: bool
    local: bool
    force: bool
    dry_run: bool
    as_json: bool


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that starts a job; the command takes them as one, `how`."""

    @wraps(command)
    def collected(*args: Any, **given: Any) -> Any:
        how = {name: given.pop(name) for name in How.__annotations__}
        return command(*args, **given, how=how)

    options = [
        click.option("--detach", is_flag=True, help="Return at once; `msmctl jobs watch` shows the rest."),
        click.option("--local", is_flag=True, help="Run in this process, without a worker."),
        click.option("--force", is_flag=True, help="Make it anew even if it is fresh."),
        dry_run_option,
        json_option,
    ]
    for option in reversed(options):
        collected = option(collected)
    return collected


def settings(ctx: click.Context) -> Settings:
    """The settings of this call."""
    from services.settings import load

    home: Path | None = ctx.find_root().obj
    return load(home=home)


def store(ctx: click.Context) -> Store:
    """The artefact store of this call."""
    from services.store import Store

    present = settings(ctx)
    return Store(present.store_url, cache=present.home / "cache")


def opened(ctx: click.Context, name: str | None) -> Collection:
    """The present state of the collection that `--collection` means: the one named, else the current one."""
    from services.collections.collection import Collection
    from services.collections.current import resolve

    place = store(ctx)
    return Collection.open(place, resolve(place, name))
