"""Options that are spelt alike everywhere, and what a command starts from."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import click

from cli.output import say
from services.counted import counted
from services.shown import shown

if TYPE_CHECKING:
    from services.collections.collection import Collection
    from services.negatives.marks import Marks
    from services.negatives.opening import Asked
    from services.negatives.sampling import Strategy
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


def require_utf8(path: str) -> None:
    """Usage error for a file name that is no UTF-8: manifests, facts and JSON could not hold it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise click.UsageError(f"the file name {shown(path)} is not UTF-8: rename it") from None


class FilePath(click.Path):
    """A path as `pathlib.Path`. An empty one, mostly an unset variable, is none: not the present folder."""

    def __init__(self, **checks: Any) -> None:
        super().__init__(path_type=Path, **checks)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.Path`."""
        if not str(value):
            self.fail("it is empty, where a path is needed", param, ctx)
        require_utf8(str(value))
        return super().convert(value, param, ctx)


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
no_marks_option = click.option("--no-marks", is_flag=True, help="Leave people's marks out of account.")
timeout_option = click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
    help="Wait so long at most; then exit code 124, and the jobs go on.",
)  # fmt: skip


class How(TypedDict):
    """How jobs are run and told of: the options of `job_options`, as `cli.waiting.run_specs` takes them."""

    detach: bool
    local: bool
    force: bool
    timeout: float | None
    dry_run: bool
    measure: bool
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
        timeout_option,
        dry_run_option,
        click.option(
            "--measure", is_flag=True, help="With --dry-run: measure, where it would run, what it costs."
        ),
        json_option,
    ]
    for option in reversed(options):
        collected = option(collected)
    return collected


class Which(TypedDict):
    """Which negatives: the options of `negatives_options`, as `asked` takes them."""

    systems: list[str]
    depth: int | None
    ce: str | None
    filters: tuple[str, ...]
    relabel: str | None
    sample: Strategy | None
    num: int | None
    seed: int
    no_marks: bool


def negatives_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that reads negatives; the command takes them as one, `which`."""

    @wraps(command)
    def collected(*args: Any, **given: Any) -> Any:
        which = {name: given.pop(name) for name in Which.__annotations__}
        return command(*args, **given, which=which)

    options = [
        click.option(
            "--system", "systems", multiple=True, type=CommaList(), callback=flat,
            help="System; repeat, or join by commas. Default: all that were mined.",
        ),
        click.option(
            "--depth", type=click.IntRange(1), help="Negatives per query and system. Default: as mined."
        ),
        click.option("--ce", help="Cross-encoder whose scores count. Default: the only one there is."),
        click.option(
            "--filter", "filters", multiple=True, metavar="NAME=VALUE[,…]",
            help="Keep only …; may be repeated, applied in order. `msmctl negatives filters` lists them.",
        ),
        click.option("--relabel", metavar="'ce>=X'", help="Take what scores X or more for a positive."),
        click.option(
            "--sample", type=click.Choice(["top", "random", "round-robin"]),
            help="Which --num of the negatives that are left. Default: top, by best rank.",
        ),
        click.option("--num", type=click.IntRange(1), help="Negatives per query, over all systems."),
        click.option("--seed", type=int, default=0, show_default=True, help="Of --sample random."),
        no_marks_option,
    ]  # fmt: skip
    for option in reversed(options):
        collected = option(collected)
    return collected


def asked(ctx: click.Context, collection: Collection, split: str, which: Which) -> Asked:
    """What the options ask for, with people's marks on the collection."""
    from services.negatives.opening import Asked

    given = {name: value for name, value in which.items() if name != "no_marks"}
    counted = marks(ctx, collection, no_marks=which["no_marks"])
    return Asked(split, marks=counted, **given)  # type: ignore[arg-type]


def marks(ctx: click.Context, collection: Collection, *, no_marks: bool) -> Marks | None:
    """People's marks on a collection, with a word that they count; None where they shall not."""
    from services.negatives.marks_store import load_marks

    found = None if no_marks else load_marks(settings(ctx), collection)
    if found:
        count = "counts" if len(found) == 1 else "count"
        say(f"{counted(len(found), 'marks')} by people {count} (--no-marks leaves them out)")
    return found


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
