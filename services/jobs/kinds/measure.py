"""Measure: what another job would cost, found out where it would run.

A job of one chunk on the queue of the job that it is about. Its result is the estimate; who asked removes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from services.jobs.kind import Chunk, Context, Estimate, Kind, Queue, Receipt, Spec
from services.jobs.registry import kind_named, parse_spec


class MeasureSpec(Spec):
    """About the job of another spec, in its JSON form."""

    kind: Literal["measure"] = "measure"
    target: dict[str, Any]

    @classmethod
    def about(cls, spec: Spec) -> MeasureSpec:
        """The spec that measures what `spec` would cost."""
        return cls(
            collection=spec.collection,
            collection_version=spec.collection_version,
            target=spec.model_dump(mode="json"),
        )

    @property
    def title(self) -> str:
        """Such as `measure score squad/train ce-squad`."""
        return f"measure {parse_spec(self.target).title}"


class MeasureKind(Kind[MeasureSpec]):
    """See the module."""

    name = "measure"
    queue: ClassVar[Queue] = "cpu"
    soft_limit = 600.0  # loading a large model may take minutes
    hard_limit = 660.0
    spec_type = MeasureSpec

    def queue_of(self, spec: MeasureSpec) -> Queue:
        """Where the job would run."""
        target = parse_spec(spec.target)
        return kind_named(target.kind).queue_of(target)

    def fresh(self, context: Context, spec: MeasureSpec) -> str | None:
        """Never: machines differ from hour to hour."""
        return None

    def plan(self, context: Context, spec: MeasureSpec) -> list[Chunk]:
        """All at once."""
        return [Chunk(n=0, lo=0, hi=1)]

    def run_chunk(self, context: Context, spec: MeasureSpec, chunk: Chunk) -> Receipt:
        """Measure."""
        target = parse_spec(spec.target)
        found: Estimate = kind_named(target.kind).measure(context, target)
        return Receipt(facts=found.model_dump(mode="json"))

    def finish(self, context: Context, spec: MeasureSpec, receipts: Sequence[Receipt]) -> dict[str, Any]:
        """The estimate."""
        return receipts[0].facts

    def estimate(self, context: Context, spec: MeasureSpec) -> Estimate:
        """One chunk of some seconds."""
        return Estimate(chunks=1, rows=1)
