"""People's verdicts in Elasticsearch: `<prefix>-marks`, one document with its history per pair.

A document is keyed by (collection, qid, pid), so that a mark outlives an update of the collection. Its
first fields say what holds now (`verdict` null: the mark was taken back), `history` all that was ever
said. Writing is compare-and-set: two people who mark the same pair at once both stay in the history.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from elasticsearch import ConflictError, Elasticsearch, NotFoundError

from services.collections.collection import Collection
from services.elastic.client import connect
from services.elastic.errors import translated
from services.elastic.own_index import ensure
from services.errors import Conflict, NotFound, Unavailable, UsageError
from services.negatives.marks import Mark, Marks
from services.negatives.verdicts import Verdict
from services.settings import Settings
from services.stack.endpoints import remembered
from services.store import fingerprint

_DOING = "marks"
_PAGE = 1000
_ATTEMPTS = 10
_LONGEST = 10_000
_PATIENCE = 15.0
"""Seconds: an export should say soon that there is no answer."""
Body = dict[str, Any]


class MarksStore:
    """The marks of all collections; the index is made by the first mark.

    Args:
        client: May read and write `<prefix>-marks`.
        settings: The prefix counts.
    """

    def __init__(self, client: Elasticsearch, settings: Settings) -> None:
        self._client = client
        self._index = settings.index("marks")

    def mark(
        self, collection: Collection, qid: str, pid: str, verdict: Verdict, reason: str, by: str | None = None
    ) -> Body:
        """Say what a passage is as an answer to a query; returns the document.

        Args:
            collection: Whose.
            qid: The query.
            pid: The passage.
            verdict: What it is.
            reason: Why.
            by: Who says so; None: the user of this process.

        Raises:
            NotFound: the collection has no such query or passage.
            UsageError: there is no reason, or a very long one.
        """
        _require(collection, qid, pid)
        if not reason.strip() or len(reason) > _LONGEST:
            raise UsageError(
                f"a mark needs a reason of 1 to {_LONGEST:,} characters",
                hint="--reason 'answers the question'",
            )
        return self._say(collection.name, qid, pid, verdict, reason.strip(), by)

    def unmark(
        self, collection: Collection, qid: str, pid: str, reason: str = "", by: str | None = None
    ) -> Body:
        """Take a mark back; its history stays. Returns the document.

        Raises:
            NotFound: the pair is not marked.
        """
        found = self._get(collection.name, qid, pid)
        if found is None or found["_source"]["verdict"] is None:
            raise NotFound(
                f"passage '{pid}' is not marked for query '{qid}' of collection '{collection.name}'",
                hint=f"`msmctl negatives marks ls --collection {collection.name}` lists what is",
            )
        return self._say(collection.name, qid, pid, None, reason.strip(), by)

    def all(self, collection: str, *, history: bool = False) -> Iterator[Body]:
        """The documents of one collection, by qid and pid.

        Args:
            collection: Its name.
            history: Also those whose mark was taken back.
        """
        after: list[Any] | None = None
        must: list[Mapping[str, Any]] = [{"term": {"collection": collection}}]
        if not history:
            must.append({"exists": {"field": "verdict"}})
        while True:
            with translated(_DOING):
                try:
                    answer = self._client.search(
                        index=self._index,
                        query={"bool": {"filter": must}},
                        size=_PAGE,
                        sort=[{"qid": "asc"}, {"pid": "asc"}],
                        search_after=after,
                        track_total_hits=False,
                    )
                except NotFoundError:
                    return
            hits = answer["hits"]["hits"]
            yield from (hit["_source"] for hit in hits)
            if len(hits) < _PAGE:
                return
            after = hits[-1]["sort"]

    def of(self, collection: Collection) -> Marks:
        """The marks that hold now, for reading candidates."""
        return Marks(
            collection,
            [
                Mark(one["qid"], one["pid"], parse_verdict(one["verdict"]), one["reason"])
                for one in self.all(collection.name)
            ],
        )

    def _say(
        self, collection: str, qid: str, pid: str, verdict: Verdict | None, reason: str, by: str | None
    ) -> Body:
        said = {
            "verdict": verdict.label if verdict is not None else None,
            "reason": reason,
            "by": by or _person(),
            "@timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        for _ in range(_ATTEMPTS):
            before = self._get(collection, qid, pid)
            history = before["_source"]["history"] if before else []
            if said in history:  # the answer to our own write was lost, and the client wrote it again
                return dict(before["_source"]) if before else {}
            body = {"collection": collection, "qid": qid, "pid": pid, **said, "history": [*history, said]}
            if self._write(_key(collection, qid, pid), body, before):
                return body
        raise Conflict(f"passage '{pid}' of query '{qid}' is being marked by many at once", hint="try again")

    def _write(self, key: str, body: Body, before: Mapping[str, Any] | None) -> bool:
        """Write unless somebody else has meanwhile."""
        version = (
            {"if_seq_no": before["_seq_no"], "if_primary_term": before["_primary_term"]}
            if before
            else {"op_type": "create"}
        )
        with translated(_DOING):
            if before is None:
                ensure(self._client, self._index, "marks")
            try:
                self._client.index(index=self._index, id=key, document=body, refresh=True, **version)
            except ConflictError:
                return False
        return True

    def _get(self, collection: str, qid: str, pid: str) -> Mapping[str, Any] | None:
        with translated(_DOING):
            try:
                found: Mapping[str, Any] = self._client.get(
                    index=self._index, id=_key(collection, qid, pid)
                ).body
            except NotFoundError:
                return None
        return found


def parse_verdict(text: str) -> Verdict:
    """A verdict as people write it.

    Raises:
        UsageError: there is no such verdict.
    """
    labels = {verdict.label: verdict for verdict in Verdict}
    if text not in labels:
        raise UsageError(f"no such verdict '{text}'", hint=f"verdicts: {', '.join(labels)}")
    return labels[text]


def load_marks(settings: Settings, collection: Collection) -> Marks:
    """The marks that hold now, for reading candidates; none where no stack was ever set up.

    Raises:
        Unavailable: there is a stack or a cluster, but it does not answer.
    """
    if not settings.es_url and not remembered(settings):
        return Marks(collection, [])
    client = connect(settings).options(request_timeout=_PATIENCE, max_retries=0)
    try:
        return MarksStore(client, settings).of(collection)
    except Unavailable as error:
        raise Unavailable(
            f"people's marks cannot be read: {error.message}",
            hint="`msmctl up` starts the local stack; `--no-marks` leaves marks out of account",
        ) from error


def _require(collection: Collection, qid: str, pid: str) -> None:
    if collection.qords_of([qid])[0] < 0:
        raise NotFound(
            f"collection '{collection.name}' has no query '{qid}'",
            hint=f"`msmctl collection show {collection.name}` shows examples of its ids",
        )
    if collection.ords_of([pid])[0] < 0:
        raise NotFound(
            f"collection '{collection.name}' has no passage '{pid}'",
            hint=f"`msmctl negatives show {qid} --collection {collection.name}` lists candidates",
        )


def _key(collection: str, qid: str, pid: str) -> str:
    return fingerprint([collection, qid, pid])


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"
