"""`msmctl jobs`: list, watch and steer jobs."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import click

from cli.options import json_option, settings, timeout_option
from cli.output import emit_json, emit_line, emit_record, emit_rows, say

if TYPE_CHECKING:
    from services.jobs.ledger import Ledger
    from services.jobs.records import Job
    from services.settings import Settings

_STATES = ["pending", "running", "paused", "succeeded", "dead_rows", "failed", "cancelled"]
_COLUMNS = ["job", "title", "state", "phase", "done", "chunks", "rows", "dead", "seconds", "created"]

ids_argument = click.argument("ids", metavar="JOB...", nargs=-1, required=True)


@click.group()
def jobs() -> None:
    """List, watch, pause, cancel and retry jobs.

    \b
    Example:
      msmctl jobs ls --state running
    """


@jobs.command("ls")
@click.option("--state", "states", multiple=True, type=click.Choice(_STATES), help="Only these; repeat.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="Only the newest so many."
)
@json_option
@click.pass_context
def ls(ctx: click.Context, states: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List jobs, newest first.

    \b
    Example:
      msmctl jobs ls --state running --state failed
    """
    if _is_unused(settings(ctx)):
        _emit([], _COLUMNS, as_json)
        return
    found = _ledger(ctx).jobs(states or _STATES, limit)  # type: ignore[arg-type] # click has checked them
    _emit(found, _COLUMNS, as_json)


@jobs.command()
@click.argument("job_id", metavar="JOB")
@json_option
@click.pass_context
def show(ctx: click.Context, job_id: str, as_json: bool) -> None:
    """Show one job: its spec, counters, error, chunks that have trouble, dead rows.

    \b
    Example:
      msmctl jobs show mine-20261121-073015-ab12
    """
    from services.jobs.view import details

    ledger = _ledger(ctx)
    record = details(ledger, ledger.job(job_id))
    if as_json:
        emit_json(record)
        return
    trouble, dead = record.pop("trouble"), record.pop("dead_rows")
    emit_record({key: value for key, value in record.items() if value not in (None, [], {})}, as_json=False)
    for item in trouble[:20]:
        say(f"chunk {item['chunk']} ({item['state']}, attempt {item['attempt']}): {item['message']}")
        if item["detail"] and item["state"] == "failed":
            say(str(item["detail"]))
    for item in dead[:20]:
        say(f"dead row {item['row']} (chunk {item['chunk']}): {item['reason']}")
    if len(dead) > 20:
        say(f"… and more; `msmctl jobs show {job_id} --json` lists {len(dead):,} dead rows")


@jobs.command()
@ids_argument
@timeout_option
@json_option
@click.pass_context
def watch(ctx: click.Context, ids: tuple[str, ...], timeout: float | None, as_json: bool) -> None:
    """Show progress until jobs have ended; the exit code tells how. Ctrl-C leaves them alone.

    With --json, one line per change of a job.

    \b
    Example:
      msmctl jobs watch mine-20261121-073015-ab12
    """
    from cli.follow import follow, raise_for

    ledger = _ledger(ctx)
    for job_id in ids:
        ledger.job(job_id)
    ended = _stream(ledger, ids, timeout) if as_json else follow(ledger, ids, timeout=timeout)
    if not as_json:
        _emit(ended, _COLUMNS, as_json)
    raise_for(ended)


@jobs.command()
@click.argument("job_id", metavar="JOB")
@click.option("--tail", default=0, type=click.IntRange(0), help="Only the last lines; 0: all that are kept.")
@json_option
@click.pass_context
def logs(ctx: click.Context, job_id: str, tail: int, as_json: bool) -> None:
    """Print what a job's chunks said, by time, wherever they ran. Errors are among it.

    With --json, an object per line.

    \b
    Example:
      msmctl jobs logs mine-20261121-073015-ab12 --tail 20
    """
    from services.jobs.view import log_lines

    ledger = _ledger(ctx)
    for line in log_lines(ledger, ledger.job(job_id))[-tail:]:
        emit_line(f"{line['time']} {line['chunk']} {line['line']}", line, as_json=as_json)


def _steering(name: str, text: str) -> click.Command:
    """A command that does to each job what `services.jobs.steering` has under that name."""

    @click.command(
        name,
        help=f"{text}\n\n\b\nExample:\n  msmctl jobs {name} mine-20261121-073015-ab12",
        short_help=text,
    )
    @ids_argument
    @json_option
    @click.pass_context
    def command(ctx: click.Context, ids: tuple[str, ...], as_json: bool) -> None:
        from services.jobs import steering

        ledger = _ledger(ctx)
        _report([getattr(steering, name)(ledger, job_id) for job_id in ids], as_json)

    return command


for _name, _text in {
    "cancel": "End jobs; running chunks stop at their next batch.",
    "pause": "Hold jobs; running chunks stop at their next batch and are done again later.",
    "resume": "Let paused jobs go on.",
}.items():
    jobs.add_command(_steering(_name, _text))


@jobs.command()
@ids_argument
@json_option
@click.pass_context
def retry(ctx: click.Context, ids: tuple[str, ...], as_json: bool) -> None:
    """Open failed or cancelled jobs again, or those with dead rows; what is done stays done.

    \b
    Example:
      msmctl jobs retry mine-20261121-073015-ab12
    """
    from services.jobs import steering

    ledger = _ledger(ctx)
    opened = [job for job_id in ids for job in steering.retry(ledger, job_id)]
    if not ledger.shared:
        say("this job is in the file ledger: type the command that made it again, with --local")
    _report(opened, as_json)


@jobs.command()
@click.argument("ids", metavar="[JOB...]", nargs=-1)
@click.option("--ended", is_flag=True, help="All jobs that have ended.")
@json_option
@click.pass_context
def rm(ctx: click.Context, ids: tuple[str, ...], ended: bool, as_json: bool) -> None:
    """Remove ended jobs from the ledger; what they made stays.

    \b
    Example:
      msmctl jobs rm --ended
    """
    from services.errors import UsageError
    from services.jobs import steering
    from services.jobs.records import ENDED

    if bool(ids) == ended:
        raise UsageError("name jobs, or say --ended", hint="msmctl jobs rm --ended")
    ledger = _ledger(ctx)
    chosen = [job.id for job in ledger.jobs(ENDED, 10_000)] if ended else list(ids)
    _report([steering.remove(ledger, job_id) for job_id in chosen], as_json)


@jobs.command()
@click.option(
    "--queue",
    type=click.Choice(["cpu", "gpu", "train"]),
    default="cpu",
    show_default=True,
    help="Queue whose workers shall answer.",
)
@click.option(
    "--numbers",
    default=1000,
    show_default=True,
    type=click.IntRange(1, 100_000_000),
    help="How many numbers to square.",
)
@click.option("--step", default=250, show_default=True, type=click.IntRange(1), help="Numbers per chunk.")
@click.option(
    "--pause",
    "rest",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 60),
    help="Seconds that each chunk takes at least.",
)
@click.option("--detach", is_flag=True, help="Return at once.")
@click.option("--local", is_flag=True, help="Run in this process, without a worker.")
@timeout_option
@json_option
@click.pass_context
def probe(
    ctx: click.Context,
    queue: Any,
    numbers: int,
    step: int,
    rest: float,
    detach: bool,
    local: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Run a small job of numbers through ledger, dispatcher, queue, worker and store: does it all work?

    \b
    Example:
      msmctl jobs probe --queue gpu
    """
    from cli.options import store
    from cli.waiting import run_specs
    from services.jobs.kinds.probe import ProbeSpec
    from services.jobs.submit import forced

    spec = forced(ProbeSpec(numbers=numbers, step=step, pause=rest, queue=queue))
    run_specs(ctx, [spec], detach=detach, local=local, timeout=timeout, as_json=as_json)
    if not detach:
        store(ctx).remove(spec.folder)


def _is_unused(present: Settings) -> bool:
    """Whether there can be no job: no stack was set up, no cluster is named, nothing ran with --local."""
    from services.jobs.context import FILE
    from services.stack.endpoints import remembered

    return not (present.es_url or remembered(present) or (present.home / FILE).is_file())


def _ledger(ctx: click.Context) -> Ledger:
    """The ledger in Elasticsearch; where that is not reachable, the file ledger if there is one."""
    from services.errors import Unavailable
    from services.jobs.context import FILE, context_for, file_ledger, open_ledger

    context = context_for(settings(ctx), "admin")
    try:
        return open_ledger(context)
    except Unavailable as error:
        if not (context.settings.home / FILE).is_file():
            raise
        say(f"{error.message}; showing the file ledger of --local runs")
        return file_ledger(context)


def _report(changed: list[Job], as_json: bool) -> None:
    _emit(changed, ["job", "title", "state"], as_json)


def _emit(found: list[Job], columns: list[str], as_json: bool) -> None:
    from services.jobs.view import summary

    emit_rows([summary(job) for job in found], columns, as_json=as_json)


def _stream(ledger: Ledger, ids: tuple[str, ...], timeout: float | None) -> list[Job]:
    """One JSON line on stdout whenever a job has changed, until all have ended; raises `TimedOut`."""
    from cli.follow import patiently, timed_out
    from services.jobs.view import seconds, summary

    shown: dict[str, dict[str, Any]] = {}
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    while True:
        present = patiently(lambda: ledger.jobs_by_id(ids))
        for job in present:
            line = summary(job) | {"seconds": None if job.ended is None else seconds(job)}
            if shown.get(job.id) != line:
                emit_line(job.title, line | {"seconds": seconds(job)}, as_json=True)
                shown[job.id] = line
        if all(job.ended for job in present):
            return present
        if time.monotonic() > deadline:
            raise timed_out(present, timeout or 0)
        time.sleep(0.3)
