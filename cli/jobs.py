"""`msmctl jobs`: list, watch and steer jobs."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from cli.options import json_option, settings
from cli.output import emit_json, emit_record, emit_rows, say

if TYPE_CHECKING:
    from services.jobs.ledger import Ledger
    from services.jobs.records import Job

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
    found = _ledger(ctx).jobs(states or _STATES, limit)  # type: ignore[arg-type] # click has checked them
    emit_rows([_summary(job) for job in found], _COLUMNS, as_json=as_json)


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
    ledger = _ledger(ctx)
    job = ledger.job(job_id)
    trouble, chunks = [], dict.fromkeys(("pending", "running", "done", "failed"), 0)
    for row in ledger.all_rows(job):
        chunks[row.state] += 1
        if row.state != "done" and row.error:
            trouble.append(
                {
                    "chunk": row.key,
                    "state": row.state,
                    "attempt": row.attempt,
                    **row.error.model_dump(exclude={"chunk"}),
                }
            )
    dead = ledger.dead(job_id)
    record = _summary(job) | {
        "spec": job.spec,
        "depends_on": job.depends_on,
        "started": job.started,
        "ended": job.ended,
        "note": job.note,
        "error": job.error.model_dump() if job.error else None,
        "result": job.result,
        "chunk_states": chunks,
        "trouble": trouble,
        "dead_rows": [{key: item[key] for key in ("chunk", "row", "reason")} for item in dead],
    }
    if as_json:
        emit_json(record)
        return
    emit_record(
        {
            key: value
            for key, value in record.items()
            if value not in (None, [], {}) and key not in ("trouble", "dead_rows")
        },
        as_json=False,
    )
    for item in trouble[:20]:
        say(f"chunk {item['chunk']} ({item['state']}, attempt {item['attempt']}): {item['message']}")
        if item["detail"] and item["state"] == "failed":
            say(str(item["detail"]))
    for item in record["dead_rows"][:20]:
        say(f"dead row {item['row']} (chunk {item['chunk']}): {item['reason']}")
    if len(dead) > 20:
        say(f"… and more; `msmctl jobs show {job_id} --json` lists {len(dead):,} dead rows")


@jobs.command()
@ids_argument
@json_option
@click.pass_context
def watch(ctx: click.Context, ids: tuple[str, ...], as_json: bool) -> None:
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
    ended = _stream(ledger, ids) if as_json else follow(ledger, ids)
    if not as_json:
        emit_rows([_summary(job) for job in ended], _COLUMNS, as_json=False)
    raise_for(ended)


@jobs.command()
@click.argument("job_id", metavar="JOB")
@click.option("--tail", default=0, type=click.IntRange(0), help="Only the last lines; 0: all that are kept.")
@click.pass_context
def logs(ctx: click.Context, job_id: str, tail: int) -> None:
    """Print what a job's chunks said, by time, wherever they ran. Errors are among it.

    \b
    Example:
      msmctl jobs logs mine-20261121-073015-ab12 --tail 20
    """
    ledger = _ledger(ctx)
    lines = []
    for row in ledger.all_rows(ledger.job(job_id)):
        lines += [f"{line[:24]} {row.key} {line[25:]}" for line in row.log]
        if row.error:
            lines.append(f"{row.ended or row.created} {row.key} {row.error.code}: {row.error.message}")
    for line in sorted(lines)[-tail:]:
        click.echo(line)


@jobs.command()
@ids_argument
@json_option
@click.pass_context
def cancel(ctx: click.Context, ids: tuple[str, ...], as_json: bool) -> None:
    """End jobs; running chunks stop at their next batch.

    \b
    Example:
      msmctl jobs cancel mine-20261121-073015-ab12
    """
    from services.jobs import steering

    ledger = _ledger(ctx)
    _report([steering.cancel(ledger, job_id) for job_id in ids], as_json)


@jobs.command()
@ids_argument
@json_option
@click.pass_context
def pause(ctx: click.Context, ids: tuple[str, ...], as_json: bool) -> None:
    """Hold jobs; running chunks stop at their next batch and are done again later.

    \b
    Example:
      msmctl jobs pause mine-20261121-073015-ab12
    """
    from services.jobs import steering

    ledger = _ledger(ctx)
    _report([steering.pause(ledger, job_id) for job_id in ids], as_json)


@jobs.command()
@ids_argument
@json_option
@click.pass_context
def resume(ctx: click.Context, ids: tuple[str, ...], as_json: bool) -> None:
    """Let paused jobs go on.

    \b
    Example:
      msmctl jobs resume mine-20261121-073015-ab12
    """
    from services.jobs import steering

    ledger = _ledger(ctx)
    _report([steering.resume(ledger, job_id) for job_id in ids], as_json)


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
    run_specs(ctx, [spec], detach=detach, local=local, as_json=as_json)
    if not detach:
        store(ctx).remove(spec.folder)


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


def _summary(job: Job) -> dict[str, Any]:
    """A job as `ls` shows it (docs/jobs.md)."""
    from services.jobs.identity import show

    return {
        "job": job.id,
        "kind": job.kind,
        "title": job.title,
        "collection": job.collection,
        "queue": job.queue,
        "runner": show(job.runner),
        "state": job.state,
        "phase": job.phase,
        "done": job.done,
        "chunks": job.chunks,
        "rows": job.rows,
        "bytes": job.bytes,
        "dead": job.dead,
        "seconds": _seconds(job),
        "created": job.created,
    }


def _seconds(job: Job) -> float | None:
    from datetime import UTC, datetime

    if job.started is None:
        return None
    end = datetime.fromisoformat(job.ended) if job.ended else datetime.now(UTC)
    return round((end - datetime.fromisoformat(job.started)).total_seconds(), 1)


def _report(changed: list[Job], as_json: bool) -> None:
    emit_rows([_summary(job) for job in changed], ["job", "title", "state"], as_json=as_json)


def _stream(ledger: Ledger, ids: tuple[str, ...]) -> list[Job]:
    """One JSON line on stdout whenever a job has changed, until all have ended."""
    from cli.follow import patiently

    shown: dict[str, dict[str, Any]] = {}
    while True:
        present = patiently(lambda: ledger.jobs_by_id(ids))
        for job in present:
            line = _summary(job) | {"seconds": None if job.ended is None else _seconds(job)}
            if shown.get(job.id) != line:
                click.echo(json.dumps(line | {"seconds": _seconds(job)}))
                sys.stdout.flush()
                shown[job.id] = line
        if all(job.ended for job in present):
            return present
        time.sleep(0.3)
