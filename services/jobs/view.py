"""What people see of a job: a line, all there is, its log (shapes: docs/json.md)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from services.jobs.identity import show
from services.jobs.ledger import Ledger
from services.jobs.records import Job


def summary(job: Job) -> dict[str, Any]:
    """A job as `ls` shows it."""
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
        "seconds": seconds(job),
        "created": job.created,
    }


def details(ledger: Ledger, job: Job) -> dict[str, Any]:
    """The summary, spec, error and result, chunks that have trouble, dead rows."""
    trouble, chunks = [], dict.fromkeys(("pending", "running", "done", "failed"), 0)
    for row in ledger.all_rows(job):
        chunks[row.state] += 1
        if row.state != "done" and row.error:
            about = {"chunk": row.key, "state": row.state, "attempt": row.attempt}
            trouble.append(about | row.error.model_dump(exclude={"chunk"}))
    return summary(job) | {
        "spec": job.spec,
        "depends_on": job.depends_on,
        "started": job.started,
        "ended": job.ended,
        "note": job.note,
        "error": job.error.model_dump() if job.error else None,
        "result": job.result,
        "chunk_states": chunks,
        "trouble": trouble,
        "dead_rows": [{key: item[key] for key in ("chunk", "row", "reason")} for item in ledger.dead(job.id)],
    }


def log_lines(ledger: Ledger, job: Job) -> list[dict[str, str]]:
    """What the chunks said and the errors of those that failed, by time."""
    lines = []
    for row in ledger.all_rows(job):
        said = [(line[:24], line[25:]) for line in row.log]
        if row.error:
            said.append((row.ended or row.created, f"{row.error.code}: {row.error.message}"))
        lines += [{"job": job.id, "chunk": row.key, "time": time, "line": line} for time, line in said]
    return sorted(lines, key=lambda line: (line["time"], line["chunk"]))


def seconds(job: Job) -> float | None:
    """How long it has run, or ran; None before it started."""
    if job.started is None:
        return None
    end = datetime.fromisoformat(job.ended) if job.ended else datetime.now(UTC)
    return round((end - datetime.fromisoformat(job.started)).total_seconds(), 1)
