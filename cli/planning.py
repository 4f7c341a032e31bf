"""What jobs would cost, before they are submitted: `--dry-run`, and with `--measure` measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cli.follow import follow, raise_for
from cli.output import emit_rows, say

if TYPE_CHECKING:
    from services.jobs.kind import Context, Estimate, Spec
    from services.jobs.ledger import Ledger
    from services.jobs.submit import Planned

_COUNTS = ("passages", "queries", "pairs", "unique_pairs", "rows", "tokens", "chunks")
_SIZES = ("bytes", "elastic_bytes", "memory", "device_memory")
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def print_plan(planned: Sequence[Planned], as_json: bool) -> None:
    """A row per job, requirements first; for people without the columns that say nothing, and a total."""
    records = [_record(item) for item in planned]
    if as_json:
        emit_rows(records, [], as_json=True)
        return
    rows = [
        {name: record[name] for name in ("title", *_COUNTS)}
        | {name: readable_bytes(record[name]) for name in _SIZES}
        | {"device": record["device"], "time": readable_time(record["seconds"]), "fresh": record["fresh"]}
        for record in records
    ]
    told = [name for name in rows[0] if any(row[name] not in (None, "") for row in rows)]
    emit_rows(rows, told, as_json=False)
    say(_total(records))


def measured_here(context: Context) -> Callable[[Spec], Estimate]:
    """Measures in this process, which would have to get ready for the work, too."""
    from services.jobs.registry import kind_named

    def cost(spec: Spec) -> Estimate:
        say(f"measuring {spec.title}")
        found = kind_named(spec.kind).measure(context, spec)
        if found.seconds is None:
            return found
        return found.model_copy(update={"seconds": found.seconds + found.startup})

    return cost


def measured_on_worker(ledger: Ledger, context: Context, timeout: float | None) -> Callable[[Spec], Estimate]:
    """Measures on a worker of the job's own queue, which is ready for the work then."""
    from services.jobs import steering
    from services.jobs.kind import Estimate
    from services.jobs.kinds.measure import MeasureSpec
    from services.jobs.submit import forced, submit

    def cost(spec: Spec) -> Estimate:
        (job,) = submit(ledger, context, [forced(MeasureSpec.about(spec))]).jobs
        (job,) = follow(ledger, [job.id], timeout=timeout)
        raise_for([job])
        steering.remove(ledger, job.id)  # it has told all it had to tell
        return Estimate.model_validate(job.result)

    return cost


def readable_bytes(count: int | None) -> str:
    """Such as `1.2 GB`; empty for None."""
    if count is None:
        return ""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if value >= 99.5 or not unit else f"{value:.2g} {_UNITS[unit]}"


def readable_time(seconds: float | None) -> str:
    """h:mm:ss, hours beyond a day too; empty for None."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _record(item: Planned) -> dict[str, Any]:
    """The shape of `--json` (docs/json.md). A fresh job costs nothing."""
    from services.jobs.kind import Estimate

    estimate = item.estimate or Estimate(chunks=0, rows=0, seconds=0.0)
    return {"title": item.spec.title, "fresh": item.fresh} | estimate.model_dump(mode="json")


def _total(records: Sequence[dict[str, Any]]) -> str:
    """One line over all jobs, on the stderr."""
    work = [record for record in records if record["fresh"] is None]
    known = [record["seconds"] for record in work if record["seconds"] is not None]
    devices = sorted({record["device"] for record in work if record["device"]})
    said = [f"{len(work)} {'job' if len(work) == 1 else 'jobs'}"]
    if known:
        where = f" on {' and '.join(devices)}" if devices else ""
        said.append(f"{readable_time(sum(known))}{where} with one worker; several divide it")
    if len(known) < len(work):
        unknown = ", ".join(record["title"] for record in work if record["seconds"] is None)
        said.append(f"time unknown of: {unknown}")
    said.append(f"{readable_bytes(sum(record['bytes'] for record in work))} in the store")
    if elastic := sum(record["elastic_bytes"] or 0 for record in work):
        said.append(f"{readable_bytes(elastic)} in Elasticsearch")
    return f"total: {'; '.join(said)}"
