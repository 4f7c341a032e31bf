"""`msmctl up`, `down`, `status`, `logs`, `credentials`: the local stack."""

from __future__ import annotations

from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from cli.options import json_option, settings
from cli.output import emit_json, emit_line, emit_record, emit_rows, say

if TYPE_CHECKING:
    from services.settings import Settings
    from services.stack.status import ProcessStatus

COLUMNS = ("name", "pid", "port", "url", "ready")


@click.command()
@json_option
@click.pass_context
def up(ctx: click.Context, as_json: bool) -> None:
    """Start the local stack and wait until it is ready; on a running stack, do nothing.

    \b
    Example:
      msmctl up
    """
    from services.stack import control

    present = settings(ctx)
    processes, started = control.up(present, say)
    if not started:
        say("already running")
    if as_json:
        emit_json(_document(present, processes))


@click.command()
@json_option
@click.pass_context
def down(ctx: click.Context, as_json: bool) -> None:
    """Stop the local stack. Nothing is lost: unfinished jobs go on after the next `msmctl up`.

    \b
    Example:
      msmctl down
    """
    from services.stack import control

    emit_record({"stopped": control.down(settings(ctx), say)}, as_json=as_json)


@click.command()
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show the processes of the local stack, and why one is not ready.

    \b
    Example:
      msmctl status --json
    """
    from services.stack.status import status as find

    present = settings(ctx)
    processes = find(present)
    if as_json:
        emit_json(_document(present, processes))
        return
    emit_rows([asdict(process) for process in processes], COLUMNS, as_json=False)
    for process in processes:
        if process.reason:
            say(f"{process.name}: {process.reason}")


def _document(present: Settings, processes: list[ProcessStatus]) -> dict[str, Any]:
    from services.stack.layout import Layout

    return {
        "home": str(present.home),
        "elasticsearch_home": str(Layout.of(present).elastic),
        "processes": [{column: asdict(process)[column] for column in COLUMNS} for process in processes],
    }


@click.command()
@click.argument("name")
@click.option(
    "-n", "--lines", default=50, show_default=True, type=click.IntRange(0), help="Lines from the end."
)
@click.option("-f", "--follow", is_flag=True, help="Go on as the log grows, until Ctrl-C.")
@json_option
@click.pass_context
def logs(ctx: click.Context, name: str, lines: int, follow: bool, as_json: bool) -> None:
    """Show the log of a process: supervisor, elasticsearch, redis, dispatcher, worker, models, api, gateway.

    With --json, an object per line of the log.

    \b
    Example:
      msmctl logs worker -f
    """
    from services.errors import NotFound
    from services.stack import logs as files
    from services.stack.layout import Layout
    from services.stack.status import NAMES

    if name not in NAMES:
        raise NotFound(f"no process '{name}'", hint=f"one of: {', '.join(NAMES)}")
    path = Layout.of(settings(ctx)).log(name)
    if not path.exists() and not follow:
        raise NotFound(f"{name} has no log yet: {path}", hint="msmctl up")
    for line in chain(files.tail(path, lines), files.follow(path) if follow else ()):
        emit_line(line, {"name": name, "line": line}, as_json=as_json)


@click.command()
@click.argument("user")
@json_option
@click.pass_context
def credentials(ctx: click.Context, user: str, as_json: bool) -> None:
    """Show where the password of a user lies: admin, dispatcher, worker, api, console, gateway, reader.

    \b
    Example:
      msmctl credentials admin --json
    """
    from services.errors import NotFound
    from services.stack import secrets
    from services.stack.endpoints import endpoints

    present = settings(ctx)
    if user not in (*secrets.USERS, secrets.REDIS):
        raise NotFound(f"no user '{user}'", hint=f"one of: {', '.join((*secrets.USERS, secrets.REDIS))}")
    where = endpoints(present)
    secrets.password(present, user)
    emit_record(
        {
            "user": user,
            "password_file": str(secrets.password_file(present, user)),
            "url": where.redis_url if user == secrets.REDIS else where.es_url,
        },
        as_json=as_json,
    )
