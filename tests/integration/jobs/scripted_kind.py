"""A kind of job whose chunks do what a test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from services.jobs.kind import Chunk, Context, Estimate, Kind, Receipt, Spec

Script = Callable[[Context, Chunk], Receipt | None]
scripts: dict[str, Script] = {}
"""By the spec's `script`: what a chunk does; None for an ordinary receipt."""
artefacts: set[str] = set()
"""Names of artefacts that are there: their specs are fresh."""


class ScriptedSpec(Spec):
    kind: Literal["scripted"] = "scripted"
    collection: str = "c"
    collection_version: int = 1
    script: str = "plain"
    chunks: int = 3
    artefact: str = ""
    needs: tuple[str, ...] = ()
    mended_by: str | None = None


class ScriptedKind(Kind[ScriptedSpec]):
    name = "scripted"
    queue = "cpu"
    spec_type = ScriptedSpec

    def mends_dead_rows(self, spec: ScriptedSpec) -> str | None:
        return spec.mended_by

    def fresh(self, context: Context, spec: ScriptedSpec) -> str | None:
        return f"artefact {spec.artefact}" if spec.artefact in artefacts else None

    def requires(self, context: Context, spec: ScriptedSpec) -> list[Spec]:
        return [ScriptedSpec(artefact=name) for name in spec.needs]

    def plan(self, context: Context, spec: ScriptedSpec) -> list[Chunk]:
        return [Chunk(n=n, lo=10 * n, hi=10 * n + 10) for n in range(spec.chunks)]

    def run_chunk(self, context: Context, spec: ScriptedSpec, chunk: Chunk) -> Receipt:
        receipt = scripts[spec.script](context, chunk)
        return receipt or Receipt(rows=chunk.hi - chunk.lo, bytes=100, facts={"lo": chunk.lo})

    def finish(self, context: Context, spec: ScriptedSpec, receipts: Sequence[Receipt]) -> dict[str, Any]:
        if spec.artefact:
            artefacts.add(spec.artefact)
        return {"los": [receipt.facts.get("lo") for receipt in receipts]}

    def estimate(self, context: Context, spec: ScriptedSpec) -> Estimate:
        return Estimate(chunks=spec.chunks, rows=10 * spec.chunks, bytes=100 * spec.chunks)
