"""After the load: one segment, nothing deleted, read-only, copied. Equal content then always ranks alike.

A document that was sent twice or refused half-way may leave a deleted one behind, and deleted ones count
in idf until they are merged away.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

from elasticsearch import Elasticsearch, NotFoundError

from services.elastic.errors import translated
from services.errors import CheckFailed, MsmError

_POLL_SECONDS = (0.05, 5.0)
_ROUNDS = 4
_COPIES_SECONDS = 600


def settle(client: Elasticsearch, index: str, checkpoint: Callable[[int], None]) -> None:
    """Close a loaded index to writers, merge it to one segment without deleted documents, make it searchable.

    Safe to call again at any point. A merge of millions of vectors takes hours: it runs on the server as
    a task, which is polled.

    Args:
        client: With the right to manage the index and to monitor tasks.
        index: Concrete name.
        checkpoint: Called with 0 while waiting; raises to give up (the merge itself goes on).

    Raises:
        CheckFailed: deleted documents stay.
    """
    with translated(f"settling {index}"):
        # From here on a sender that was thought dead cannot add to it.
        client.indices.put_settings(index=index, settings={"index.blocks.write": True})
        client.indices.refresh(index=index)
        for _ in range(_ROUNDS):
            _merge(client, index, checkpoint)
            client.indices.refresh(index=index)
            segments, deleted = shape(client, index)
            if segments <= 1 and not deleted:
                break
        else:
            raise CheckFailed(
                f"{index}: {segments} segments with {deleted} deleted documents after {_ROUNDS} merges",
                hint="retention leases may hold them for a minute: `msmctl jobs retry`",
            )
        client.indices.put_settings(
            index=index, settings={"index.refresh_interval": None, "index.auto_expand_replicas": "0-1"}
        )
        _await_copies(client, index, checkpoint)


def shape(client: Elasticsearch, index: str) -> tuple[int, int]:
    """Segments of the most split primary shard, and deleted documents of all primaries."""
    with translated(f"reading the segments of {index}"):
        shards = client.indices.segments(index=index)["indices"][index]["shards"]
        deleted = client.indices.stats(index=index, metric="docs")["indices"][index]["primaries"]["docs"][
            "deleted"
        ]
    primaries = [copy for copies in shards.values() for copy in copies if copy["routing"]["primary"]]
    return max((len(copy["segments"]) for copy in primaries), default=0), int(deleted)


def _merge(client: Elasticsearch, index: str, checkpoint: Callable[[int], None]) -> None:
    task = _running(client, index) or str(
        client.indices.forcemerge(index=index, max_num_segments=1, wait_for_completion=False)["task"]
    )
    pause = _POLL_SECONDS[0]
    while True:
        try:
            state = _tasks(client, f"/{task}")
        except NotFoundError:
            return  # the node restarted: the caller looks at the segments and starts another
        if state["completed"]:
            if "error" in state:
                raise MsmError(
                    f"merging {index}: {state['error'].get('reason')}", hint="see `msmctl logs elasticsearch`"
                )
            return
        checkpoint(0)
        time.sleep(pause)
        pause = min(pause * 1.5, _POLL_SECONDS[1])


def _running(client: Elasticsearch, index: str) -> str | None:
    """The merge of this index that an earlier attempt started, if it is still running."""
    running = _tasks(client, "?actions=indices:admin/forcemerge&detailed=true")
    for node in running.get("nodes", {}).values():
        for key, task in node["tasks"].items():
            if f"[{index}]" in task.get("description", "") and "parent_task_id" not in task:
                return str(key)
    return None


def _tasks(client: Elasticsearch, path: str) -> dict[str, Any]:
    """The task API. The client's own methods print a warning that it is formally a preview."""
    reply = client.perform_request("GET", f"/_tasks{path}", headers={"accept": "application/json"})
    return cast(dict[str, Any], reply.body)


def _await_copies(client: Elasticsearch, index: str, checkpoint: Callable[[int], None]) -> None:
    """Wait until every copy is there; with one node there is none to wait for."""
    until = time.monotonic() + _COPIES_SECONDS
    while client.cluster.health(index=index, wait_for_status="green", timeout="10s")["timed_out"]:
        checkpoint(0)
        if time.monotonic() > until:
            raise CheckFailed(
                f"{index}: its copies are not there after {_COPIES_SECONDS} s",
                hint="`_cluster/allocation/explain` says why; then `msmctl jobs retry`",
            )
