"""Changes a collection: ords are never reused or moved, what a state held stays readable."""

from __future__ import annotations

from services.collections.change import How, Outcome, make_state, now
from services.collections.collection import Collection
from services.collections.lock import exclusive
from services.collections.names import check_split
from services.collections.sources.source import Given
from services.errors import UsageError
from services.store import Store


def update_collection(store: Store, name: str, given: Given, how: How) -> Outcome:
    """Apply passages, deletions, queries and qrels to the present state.

    A passage that is new gets a new ord; one that differs too, and its old ord a tombstone; an
    identical one is left alone. Queries likewise, by qord. Qrels replace those of their split.

    Raises:
        UsageError: nothing is given.
        NotFound: there is no such collection.
        Conflict: it is being changed by another process.
        InputError: a bad row (`file:line`, with `on_error="fail"`) or a source that cannot be read.
    """
    if not given.sources():
        raise UsageError("nothing to update", hint="give --passages, --delete, --queries or --qrels")
    for split in [split for split, _ in given.queries] + [split for split, _ in given.qrels]:
        if split is not None:
            check_split(split)
    Collection.open(store, name)
    with exclusive(how.locks, name):
        before = Collection.open(store, name).state
        base = before.model_copy(
            update={
                "version": before.version + 1,
                "updated": now(),
                "request": "",
                "sources": [*before.sources, *(source.label for source in given.sources())],
            }
        )
        return make_state(store, base, before, given, how)
