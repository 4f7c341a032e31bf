"""Probe: a job of numbers that tells whether the whole machinery works, from ledger to store.

`msmctl jobs probe` runs it after an installation or an upgrade; the chaos tests kill processes under it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from services.errors import CheckFailed
from services.jobs.kind import Chunk, Context, Estimate, Kind, Queue, Receipt, Spec
from services.store import Part, fingerprint
from services.store.fingerprint import short


class ProbeSpec(Spec):
    """`numbers` squares in chunks of `step`, resting `pause` seconds in each."""

    kind: Literal["probe"] = "probe"
    collection: str = "-"
    collection_version: int = 0
    numbers: int = Field(1000, ge=1, le=100_000_000)
    step: int = Field(250, ge=1)
    pause: float = Field(0.0, ge=0.0, le=60.0)
    queue: Queue = "cpu"

    @property
    def title(self) -> str:
        """See `Spec`."""
        return f"probe {self.queue} {self.numbers:,} numbers"

    @property
    def folder(self) -> str:
        """Store key of its parts."""
        return f"probes/{short(self.hash)}"


class ProbeKind(Kind[ProbeSpec]):
    """Squares of `lo <= n < hi` as one part per chunk; finishing reads them all and adds them up."""

    name = "probe"
    queue = "cpu"
    spec_type: ClassVar[type[Spec]] = ProbeSpec

    def queue_of(self, spec: ProbeSpec) -> Queue:
        """The queue under test."""
        return spec.queue

    def fresh(self, context: Context, spec: ProbeSpec) -> str | None:
        """Never: what is probed is the machinery, today."""
        return None

    def plan(self, context: Context, spec: ProbeSpec) -> list[Chunk]:
        """Ranges of numbers."""
        starts = range(0, spec.numbers, spec.step)
        return [Chunk(n=n, lo=lo, hi=min(lo + spec.step, spec.numbers)) for n, lo in enumerate(starts)]

    def run_chunk(self, context: Context, spec: ProbeSpec, chunk: Chunk) -> Receipt:
        """Write the squares of a range; rest in small steps, as a real chunk has its batches."""
        end = time.monotonic() + spec.pause
        while (left := end - time.monotonic()) > 0:
            context.checkpoint(int((chunk.hi - chunk.lo) * (1 - left / spec.pause)))
            time.sleep(min(left, 0.05))
        squares = np.arange(chunk.lo, chunk.hi, dtype=np.int64) ** 2
        part = context.store.write_part(
            spec.folder, chunk.lo, chunk.hi, len(squares), "npy", lambda stream: np.save(stream, squares)
        )
        return Receipt(rows=len(squares), bytes=part.bytes, parts=[part])

    def finish(self, context: Context, spec: ProbeSpec, receipts: Sequence[Receipt]) -> dict[str, Any]:
        """Read every part back and check the sum against the formula. The parts are left to the caller."""
        parts = [part for receipt in receipts for part in receipt.parts]
        total = sum(self._sum(context, spec, part) for part in parts)
        n = spec.numbers - 1
        expected = n * (n + 1) * (2 * n + 1) // 6
        if total != expected:
            raise CheckFailed(
                f"the squares below {spec.numbers} add up to {total}, not to {expected}",
                hint=f"look at {context.store.location(spec.folder)}",
            )
        workers = sorted({receipt.worker for receipt in receipts})
        return {
            "numbers": spec.numbers,
            "sum": total,
            "workers": workers,
            "parts": fingerprint([part.sha256 for part in parts]),
        }

    def estimate(self, context: Context, spec: ProbeSpec) -> Estimate:
        """Eight bytes a number."""
        chunks = -(-spec.numbers // spec.step)
        return Estimate(chunks=chunks, rows=spec.numbers, bytes=8 * spec.numbers, seconds=chunks * spec.pause)

    @staticmethod
    def _sum(context: Context, spec: ProbeSpec, part: Part) -> int:
        return int(np.load(context.store.local_path(f"{spec.folder}/{part.name}")).sum())
