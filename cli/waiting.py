"""Submit jobs and wait for them: what every command that starts jobs shares."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from cli.follow import LONGEST_PAUSE, follow, patiently, raise_for
from cli.options import settings
from cli.output import emit_json, emit_rows, say
from services.errors import TimedOut, Unavailable, UsageError

if TYPE_CHECKING:
    from services.jobs.kind import Context, Spec
    from services.jobs.ledger import Ledger
    from services.jobs.records import Job
    from services.jobs.submit import Verdict


@dataclass(frozen=True)
class Outcome:
    """What became of one spec. `fresh` says why nothing had to be done; then there is no job."""

    title: str
    job: str | None = None
    state: str = "fresh"
    fresh: str | None = None
    result: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The shape of `--json` (docs/json.md)."""
        return {
            "title": self.title,
            "job": self.job,
            "state": self.state,
            "fresh": self.fresh,
            "result": self.result,
        }


def run_specs(
    ctx: click.Context,
    specs: Sequence[Spec],
    *,
    detach: bool = False,
    local: bool = False,
    force: bool = False,
    timeout: float | None = None,
    dry_run: bool = False,
    measure: bool = False,
    as_json: bool = False,
    quiet: bool = False,
) -> list[Outcome]:
    """Submit specs with all that they require, wait, and print what became of each.

    On stdout: one row (`--json`: one object of a list) per spec; progress goes to stderr.

    Args:
        ctx: The command's context.
        specs: What shall be done, in order.
        detach: Submit only.
        local: Work in this process.
        force: Do it anew even if it is fresh.
        timeout: Wait so many seconds at most.
        dry_run: Print what would be done, with its cost.
        measure: Measure the cost, where the work would be done.
        as_json: Print JSON.
        quiet: Print nothing on stdout: the caller does.

    Returns:
        One outcome per spec, in order; empty for a dry run.

    Raises:
        MsmError: a job failed or was cancelled: its own error and hint.
        DeadRows: everything ended, some rows could not be processed.
        TimedOut: not all have ended after `timeout` seconds.
        Unavailable: there is nobody to do the work.
    """
    from services.jobs.context import context_for, open_ledger

    if measure and not dry_run:
        raise UsageError("--measure goes with --dry-run", hint="`msmctl plan …` is short for both")
    if detach and local:
        raise UsageError("--detach and --local exclude each other", hint="a local run ends with its command")
    context = context_for(settings(ctx), "admin")
    if dry_run:
        _show_plan(
            context, specs, force=force, measure=measure, local=local, timeout=timeout, as_json=as_json
        )
        return []
    patience = _patience(context)
    outcomes = None if force else patiently(lambda: _all_fresh(context, specs), patience)
    jobs: list[Job] = []
    if outcomes is None:
        ledger = patiently(lambda: open_ledger(context, file_instead=local), patience)
        if not ledger.shared:
            say("Elasticsearch is not reachable: the job is kept in MSM_HOME/ledger.sqlite")
        outcomes, jobs = _run(
            ledger, context, specs, detach=detach, local=local, force=force, timeout=timeout
        )
    if not quiet:
        _print_outcomes(outcomes, as_json)
    if not detach:
        raise_for(jobs)
    return outcomes


def _patience(context: Context) -> float:
    """Seconds to wait for a service: our supervisor starts again what died, for others we cannot know."""
    from services.stack.layout import Layout
    from services.stack.status import supervisor_of

    return 90.0 if supervisor_of(Layout.of(context.settings)) else 0.0


def _all_fresh(context: Context, specs: Sequence[Spec]) -> list[Outcome] | None:
    """The outcomes where nothing has to be done at all: that needs neither ledger nor dispatcher."""
    from services.jobs.registry import kind_named

    outcomes = []
    for spec in specs:
        fresh = kind_named(spec.kind).fresh(context, spec)
        if fresh is None:
            return None
        outcomes.append(Outcome(spec.title, fresh=fresh))
    for outcome in outcomes:
        say(f"fresh, skipped: {outcome.title}: {outcome.fresh}")
    return outcomes


def _run(
    ledger: Ledger,
    context: Context,
    specs: Sequence[Spec],
    *,
    detach: bool,
    local: bool,
    force: bool,
    timeout: float | None,
) -> tuple[list[Outcome], list[Job]]:
    """Submit and wait: the outcome of each spec, and all jobs with what they required."""
    from services.jobs import identity
    from services.jobs.records import STACK
    from services.jobs.submit import forced, submit

    patience = _patience(context)
    if not local:
        _require_dispatcher(ledger, patience)
    runner = identity.me() if local else STACK
    if force:  # once, so that submitting again after an outage joins what was submitted before it
        specs = [forced(spec) for spec in specs]
    submission = patiently(lambda: submit(ledger, context, specs, force, runner), patience)
    for line in submission.fresh:
        say(f"fresh, skipped: {line}")
    ids = [job.id for job in submission.jobs]
    for job in submission.jobs:
        say(f"job {job.id}: {job.title}")
    if detach:
        say(f"watch: msmctl jobs watch {' '.join(ids)}" if ids else "nothing to do")
    elif ids:
        with _detaching(ids, local):
            submission.jobs = (
                _work_here(ledger, context, ids, runner, timeout)
                if local
                else follow(ledger, ids, timeout=timeout)
            )
    final = {job.id: job for job in submission.jobs}
    return [_outcome(verdict, final) for verdict in submission.asked], submission.jobs


def _require_dispatcher(ledger: Ledger, patience: float) -> None:
    """Refuse what nobody would work on; a ledger that is away for a while is asked again."""
    from services.jobs.submit import dispatcher_alive

    if not patiently(lambda: _comes(lambda: dispatcher_alive(ledger)), patience):
        raise Unavailable(
            "no dispatcher is running, so nobody would do the work",
            hint="`msmctl up` starts the stack; `--local` works in this process",
        )


def _comes(there: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether it is there, or comes soon: after `msmctl up` a dispatcher takes a moment to take the lease."""
    deadline = time.monotonic() + seconds
    while not there():
        if time.monotonic() > deadline:
            return False
        time.sleep(LONGEST_PAUSE)
    return True


def _outcome(verdict: Verdict, final: dict[str, Job]) -> Outcome:
    if verdict.job is None:
        return Outcome(verdict.title, fresh=verdict.fresh)
    job = final[verdict.job]
    return Outcome(verdict.title, job.id, job.state, result=job.result)


def _work_here(
    ledger: Ledger, context: Context, ids: Sequence[str], runner: str, timeout: float | None
) -> list[Job]:
    """Work in a thread, so that this one shows the progress and hears Ctrl-C."""
    from services.jobs.local import run_here

    stop = threading.Event()
    trouble: list[BaseException] = []

    def work() -> None:
        try:
            run_here(ledger, context, ids, runner, stop)
        except BaseException as error:  # raised again in the caller's thread
            trouble.append(error)

    thread = threading.Thread(target=work, name="local worker", daemon=True)
    thread.start()
    try:
        jobs = follow(ledger, ids, over=lambda: not thread.is_alive() and bool(trouble), timeout=timeout)
    except TimedOut as error:
        stop.set()
        thread.join()
        raise TimedOut(
            f"stopped after {timeout:g} seconds", hint="the same command goes on from here"
        ) from error
    except KeyboardInterrupt:
        stop.set()
        say("stopping after the present batch; Ctrl-C again stops at once")
        thread.join()
        raise
    thread.join()
    if trouble:
        raise trouble[0]
    return jobs


@contextmanager
def _detaching(ids: Sequence[str], local: bool) -> Iterator[None]:
    """Ctrl-C leaves the jobs alone (a local run's stay open) and ends the command with 130."""
    try:
        yield
    except KeyboardInterrupt:
        again = "the same command goes on from here" if local else f"msmctl jobs watch {' '.join(ids)}"
        say(f"\nstopped: {again}" if local else f"\ndetached, the jobs go on: {again}")
        if local:  # a chunk that does not reach a checkpoint must not hold up the exit
            os._exit(130)
        raise click.exceptions.Exit(130) from None


def _show_plan(
    context: Context,
    specs: Sequence[Spec],
    *,
    force: bool,
    measure: bool,
    local: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Print what would be done, with its cost."""
    from cli.planning import measured_here, measured_on_worker, print_plan
    from services.jobs.context import open_ledger
    from services.jobs.submit import plan

    cost = None
    if measure and local:
        cost = measured_here(context)
    elif measure:
        ledger = open_ledger(context)
        _require_dispatcher(ledger, _patience(context))
        cost = measured_on_worker(ledger, context, timeout)
    print_plan(plan(context, specs, force, cost), as_json)


def _print_outcomes(outcomes: Sequence[Outcome], as_json: bool) -> None:
    rows = [outcome.as_dict() for outcome in outcomes]
    if as_json:
        emit_json(rows)
        return
    for row in rows:  # for people, the figures; what they were made of is in the JSON
        row["result"] = {
            key: value
            for key, value in (row["result"] or {}).items()
            if not isinstance(value, dict | list) and key not in row["title"].split()
        }
    emit_rows(rows, ["title", "state", "job", "result"], as_json=False)
