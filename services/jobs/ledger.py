"""The ledger: every job and chunk, on documents with compare-and-set. The one truth about work.

Finding open jobs may search; every decision is a real-time read and a compare-and-set on what was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from services.errors import Conflict, NotFound
from services.jobs import records
from services.jobs.documents import Documents, Exists, Stale, Stored
from services.jobs.kind import DeadRow
from services.jobs.records import Job, JobState, Row, chunk_key, row_id
from services.store import fingerprint

_BLOCK = 500
_OWNER = "ledger"
"""Id of the document that says which store this ledger belongs to."""


class Ledger:
    """Jobs and chunks over some documents.

    Attributes:
        shared: Whether the dispatcher sees this ledger (Elasticsearch), or this machine only (a file).
    """

    def __init__(self, documents: Documents, *, shared: bool) -> None:
        self.documents = documents
        self.shared = shared

    def bind(self, store: str, url: str) -> None:
        """Refuse a ledger whose jobs are about another store; an unowned one is taken.

        Args:
            store: The store's id (`store_id`).
            url: Where the store is, for the message.

        Raises:
            Conflict: the ledger belongs to another store.
        """
        owner = self.documents.get("jobs", _OWNER)
        if owner is None:
            with suppress(Exists):
                self.documents.create("jobs", _OWNER, {"store": store, "url": url})
            owner = self.documents.get("jobs", _OWNER)
        if owner is not None and owner.body["store"] != store:
            raise Conflict(
                f"this ledger belongs to the store {owner.body['url']} ({owner.body['store']}), "
                f"not to {url} ({store})",
                hint="give this installation its own MSM_PREFIX, or point MSM_STORE at that store",
            )

    # -- jobs --------------------------------------------------------------------------------------

    def create_job(self, job: Job) -> Job:
        """Write a new job, unless one of the same spec is open: then that one is returned.

        It is a draft until the pointer of its spec names it: wherever its author is killed, nobody works
        on a job that is not the one of its spec. An id that is taken (several jobs in one second) is
        replaced by another one.
        """
        try:
            self.documents.create("jobs", job.id, _body(job))
        except Exists:
            return self.create_job(job.model_copy(update={"id": records.new_id(job.kind)}))
        holder = self.hold_spec(job)
        if holder.id != job.id:
            self.remove_job(job)
        return holder

    def hold_spec(self, job: Job) -> Job:
        """Make this job the open one of its spec; the one that is, if another was first.

        A holder that is still a draft is made pending, whoever wrote it: its author may have been killed.
        """
        return self.change_job(
            self._holder(job),
            lambda found: found.model_copy(update={"state": "pending"}) if found.state == "draft" else None,
        )

    def _holder(self, job: Job) -> str:
        """The id in the pointer document of the spec, which callers race for by compare-and-set."""
        pointer, body = f"spec-{job.hash}", {"job": job.id}
        while True:
            held = self.documents.get("jobs", pointer)
            try:
                if held is None:
                    self.documents.create("jobs", pointer, body)
                    return job.id
                present = self.find_job(str(held.body["job"]))
                if present is not None and present.state not in records.ENDED and present.id != job.id:
                    return present.id
                self.documents.replace("jobs", pointer, body, held.version)
                return job.id
            except (Exists, Stale):
                continue

    def find_job(self, job_id: str) -> Job | None:
        """A job, or None."""
        stored = self.documents.get("jobs", job_id)
        return None if stored is None or "state" not in stored.body else _job(stored)

    def job(self, job_id: str) -> Job:
        """A job; raises `NotFound`."""
        job = self.find_job(job_id)
        if job is None:
            raise NotFound(f"no job '{job_id}'", hint="`msmctl jobs ls` lists them")
        return job

    def has_ended(self, job_id: str) -> bool:
        """Whether nobody works on a job any more: it has ended or was removed.

        A ledger in a file does not know the jobs of the shared one: what it does not have may be open there.
        """
        job = self.find_job(job_id)
        return self.shared if job is None else job.state in records.ENDED

    def jobs_by_id(self, ids: Sequence[str]) -> list[Job]:
        """Those of the jobs that exist, in the order given."""
        found = self.documents.get_many("jobs", ids)
        return [_job(found[key]) for key in ids if key in found]

    def jobs(self, states: Sequence[JobState] = records.STATES, limit: int = 1000) -> list[Job]:
        """Jobs in some states, newest first."""
        ids = self.documents.find("jobs", "state", states, limit)
        return [job for job in self.jobs_by_id(ids) if job.state in states]

    def jobs_of(self, collections: Sequence[str], limit: int = 1000) -> list[Job]:
        """Jobs of some collections, newest first."""
        ids = self.documents.find("jobs", "collection", collections, limit)
        return [job for job in self.jobs_by_id(ids) if job.state in records.STATES]

    def change_job(self, job_id: str, change: Callable[[Job], Job | None]) -> Job:
        """Apply a change to the present job, again and again until nobody else wrote in between.

        Args:
            job_id: The job.
            change: Gives the new job, or None to leave it; may raise to refuse.

        Returns:
            The job as it is afterwards.
        """
        while True:
            job = self.job(job_id)
            new = change(job)
            if new is None:
                return job
            try:
                version = self.documents.replace("jobs", job_id, _body(new), job.version)
                return new.model_copy(update={"version": version})
            except Stale:
                continue

    def remove_job(self, job: Job) -> None:
        """Delete a job, its chunks and its dead rows."""
        keys = ["plan", "finish", *(chunk_key(n) for n in range(job.chunks or 0))]
        self.documents.delete_many("chunks", [row_id(job.id, key) for key in keys])
        self.remove_dead(job)
        self.documents.delete_many("jobs", [job.id])

    # -- chunks ------------------------------------------------------------------------------------

    def create_rows(self, rows: Sequence[Row]) -> None:
        """Write new chunks; those that exist are left as they are."""
        for start in range(0, len(rows), _BLOCK):
            self.documents.create_many("chunks", {row.id: _body(row) for row in rows[start : start + _BLOCK]})

    def row(self, job_id: str, key: str) -> Row | None:
        """A chunk, or None."""
        stored = self.documents.get("chunks", row_id(job_id, key))
        return None if stored is None else _row(stored)

    def rows_by_id(self, ids: Sequence[str]) -> dict[str, Row]:
        """Those of the chunks that exist, by their id (`row_id`)."""
        return {key: _row(stored) for key, stored in self.documents.get_many("chunks", ids).items()}

    def work_rows(self, job: Job) -> Iterator[Row]:
        """The chunks of the work phase, in order, read in blocks."""
        for start in range(0, job.chunks or 0, _BLOCK):
            ids = [row_id(job.id, chunk_key(n)) for n in range(start, min(start + _BLOCK, job.chunks or 0))]
            found = self.rows_by_id(ids)
            yield from (found[key] for key in ids if key in found)

    def all_rows(self, job: Job) -> Iterator[Row]:
        """Plan, work, finish: those that exist."""
        ends = self.rows_by_id([row_id(job.id, key) for key in ("plan", "finish")])
        if plan := ends.get(row_id(job.id, "plan")):
            yield plan
        yield from self.work_rows(job)
        if finish := ends.get(row_id(job.id, "finish")):
            yield finish

    def save(self, row: Row) -> Row:
        """Write a changed chunk back and return it with its new version.

        Raises:
            Stale: somebody wrote it since `row` was read.
        """
        version = self.documents.replace("chunks", row.id, _body(row), row.version)
        return row.model_copy(update={"version": version})

    # -- dead rows ---------------------------------------------------------------------------------

    def add_dead(self, row: Row, dead: Sequence[DeadRow]) -> None:
        """Keep a chunk's dead rows where they can be listed; twice does no harm."""
        created = row.ended or records.now()
        for start in range(0, len(dead), _BLOCK):
            self.documents.create_many(
                "dead",
                {
                    f"{row.id}:{fingerprint(item.row)[:24]}": {
                        "job": row.job,
                        "kind": row.kind,
                        "collection": row.collection,
                        "chunk": row.key,
                        "row": item.row,
                        "reason": item.reason,
                        "created": created,
                    }
                    for item in dead[start : start + _BLOCK]
                },
            )

    def dead(self, job_id: str, limit: int = 1000) -> list[dict[str, Any]]:
        """Dead rows of a job: `{job, kind, collection, chunk, row, reason, created}`."""
        found = self.documents.get_many("dead", self.documents.find("dead", "job", [job_id], limit))
        return [found[key].body for key in sorted(found)]

    def remove_dead(self, job: Job) -> None:
        """Forget a job's dead rows: it is removed, or they are tried again."""
        while found := self.documents.find("dead", "job", [job.id]):
            self.documents.delete_many("dead", found)

    # -- the dispatcher's lease --------------------------------------------------------------------

    def dispatcher(self) -> Stored | None:
        """The dispatcher's lease: `{owner, beat}`."""
        return self.documents.get("jobs", "dispatcher")

    def take_lead(self, owner: str, held: Stored | None) -> bool:
        """Become or stay the dispatcher, or with '' as owner: lay it down; False if another was faster.

        Args:
            owner: Whoever leads from now on.
            held: The lease as it was read.
        """
        beat = int(held.body["beat"]) + 1 if held else 1
        body = {"owner": owner, "beat": beat}
        try:
            if held is None:
                self.documents.create("jobs", "dispatcher", body)
            else:
                self.documents.replace("jobs", "dispatcher", body, held.version)
        except (Exists, Stale):
            return False
        return True


def _body(record: Job | Row) -> dict[str, Any]:
    return record.model_dump(mode="json")


def _job(stored: Stored) -> Job:
    return Job.model_validate(stored.body | {"version": stored.version})


def _row(stored: Stored) -> Row:
    return Row.model_validate(stored.body | {"version": stored.version})
