"""Submit jobs: what is fresh is skipped, what is required is added, what is open already is joined."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from services.jobs import identity
from services.jobs.kind import Context, Estimate, Spec
from services.jobs.ledger import Ledger
from services.jobs.records import STACK, Job, new_job
from services.jobs.registry import kind_named

S = TypeVar("S", bound=Spec)

_PATIENCE = 15.0  # a dispatcher beats every second, but for the time that it writes the chunks of a large job
_GLANCE = 0.1


@dataclass(frozen=True)
class Planned:
    """What would become of one spec: fresh (why), or work with its cost."""

    spec: Spec
    fresh: str | None
    estimate: Estimate | None


@dataclass(frozen=True)
class Verdict:
    """What became of one spec: the id of its job, or the artefact that makes it unnecessary."""

    title: str
    job: str | None
    fresh: str | None


@dataclass
class Submission:
    """What became of the specs.

    Attributes:
        jobs: The jobs to wait for, requirements before what needs them.
        fresh: Per skipped spec, its title and the artefact that makes it unnecessary.
        asked: Per spec that was asked for, in order: its title, and its job's id or why it is fresh.
    """

    jobs: list[Job] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    asked: list[Verdict] = field(default_factory=list)


def submit(
    ledger: Ledger, context: Context, specs: Sequence[Spec], force: bool = False, runner: str = STACK
) -> Submission:
    """Make sure that a job for every spec, and for all that it requires, is open or unnecessary.

    Args:
        ledger: Where jobs live.
        context: For judging what is fresh.
        specs: What shall be done.
        force: Make new jobs for `specs` even if they are fresh; what they require is still judged. A spec
            that has a nonce already (`forced`) keeps it, so that submitting it twice makes one job.
        runner: Who works: the stack, or this process (`identity.me()`).
    """
    return _Submitter(ledger, context, runner).all(specs, force)


def plan(
    context: Context,
    specs: Sequence[Spec],
    force: bool = False,
    cost: Callable[[Spec], Estimate] | None = None,
) -> list[Planned]:
    """What `submit` would do, requirements first, without doing it.

    Args:
        context: For judging what is fresh.
        specs: What would be done.
        force: See `submit`.
        cost: Says what a job would cost, such as by measuring; default: its kind's estimate.
    """
    cost = cost or (lambda spec: kind_named(spec.kind).estimate(context, spec))
    found: dict[str, Planned] = {}

    def visit(spec: Spec, anew: bool) -> None:
        if spec.hash in found:
            return
        kind = kind_named(spec.kind)
        fresh = None if anew or spec.nonce else kind.fresh(context, spec)
        if fresh is None:
            for needed in kind.requires(context, spec):
                visit(_instead_of(needed, asked), anew=False)
        found[spec.hash] = Planned(spec, fresh, cost(spec) if fresh is None else None)

    asked = [forced(spec) if force and not spec.nonce else spec for spec in specs]
    for spec in asked:
        visit(spec, force)
    return list(found.values())


def _instead_of(needed: Spec, asked: Sequence[Spec]) -> Spec:
    """What is asked for anyway and covers what is needed; else that itself."""
    return next((spec for spec in asked if spec.covers(needed)), needed)


def forced(spec: S) -> S:
    """The same spec under a new nonce: another job than any before."""
    return spec.model_copy(update={"nonce": secrets.token_hex(8)})


def dispatcher_alive(ledger: Ledger, patience: float = _PATIENCE) -> bool:
    """Whether a dispatcher leads: known at once on its own machine, elsewhere after its next beat.

    The clocks of two hosts need not agree, so that nobody can say how old a beat is: only that one came.

    Args:
        ledger: Where its lease is.
        patience: Seconds to wait for a beat.
    """
    deadline = time.monotonic() + patience
    first = lease = ledger.dispatcher()
    while lease is not None and lease.body["owner"] and not identity.is_gone(lease.body["owner"]):
        if identity.is_running(lease.body["owner"]) or (first is not None and lease.version != first.version):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_GLANCE)
        lease = ledger.dispatcher()
    return False


class _Submitter:
    def __init__(self, ledger: Ledger, context: Context, runner: str) -> None:
        self._ledger = ledger
        self._context = context
        self._runner = runner
        self._done: dict[str, Verdict] = {}
        self._asked: list[Spec] = []
        self._result = Submission()

    def all(self, specs: Sequence[Spec], force: bool) -> Submission:
        self._asked = [forced(spec) if force and not spec.nonce else spec for spec in specs]
        self._result.asked += [self._one(spec, force) for spec in self._asked]
        return self._result

    def _one(self, spec: Spec, force: bool) -> Verdict:
        """Judge a spec and submit what has to be done. A spec met twice is judged once."""
        if spec.hash not in self._done:
            fresh = None if force or spec.nonce else kind_named(spec.kind).fresh(self._context, spec)
            if fresh is not None:
                self._result.fresh.append(f"{spec.title}: {fresh}")
            self._done[spec.hash] = Verdict(spec.title, None if fresh else self._submit(spec), fresh)
        return self._done[spec.hash]

    def _submit(self, spec: Spec) -> str:
        kind = kind_named(spec.kind)
        needs = [
            self._one(_instead_of(needed, self._asked), force=False).job
            for needed in kind.requires(self._context, spec)
        ]
        depends_on = list(dict.fromkeys(need for need in needs if need is not None))
        job = self._ledger.create_job(new_job(spec, kind.queue_of(spec), depends_on, self._runner))
        self._result.jobs.append(self._adopt(job))
        return job.id

    def _adopt(self, job: Job) -> Job:
        """Take over an open job whose runner does not run any more."""
        if job.runner == self._runner:
            return job
        orphaned = not dispatcher_alive(self._ledger) if job.runner == STACK else identity.is_gone(job.runner)
        if not orphaned:
            return job
        return self._ledger.change_job(
            job.id, lambda present: present.model_copy(update={"runner": self._runner})
        )
