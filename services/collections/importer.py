"""Makes a new collection. It exists as soon as its manifest does, which is written last."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.collections.change import How, Outcome, make_state, now
from services.collections.collection import find_state, manifest_key
from services.collections.lock import exclusive
from services.collections.names import check_collection, check_split
from services.collections.sources.source import Given
from services.collections.state import CollectionState, FieldType
from services.errors import Conflict, UsageError
from services.store import Store, fingerprint


@dataclass(frozen=True)
class ImportRequest:
    """What shall become a collection.

    Attributes:
        name: The collection's name.
        given: Passages, queries and qrels.
        fields: Typed metadata of the passages.
        min_rel: Grade from which on a passage is a positive; lower grades above 0 are neither
            positive nor negative.
    """

    name: str
    given: Given
    fields: dict[str, FieldType] = field(default_factory=dict)
    min_rel: int = 1

    def fingerprint(self) -> str:
        """Of the content and the options; reads every file once."""
        return fingerprint([self.given.identity(), list(self.fields.items()), self.min_rel])


def import_collection(store: Store, request: ImportRequest, how: How) -> Outcome:
    """Import, or say that the same has been imported already.

    Raises:
        UsageError: a bad name, or qrels without queries.
        Conflict: the name is taken by other content, or the collection is being changed.
        InputError: a bad row (`file:line`, with `on_error="fail"`) or a source that cannot be read.
    """
    check_collection(request.name)
    _check_given(request)
    with exclusive(how.locks, request.name):
        present = find_state(store, manifest_key(request.name))
        asked = request.fingerprint()
        if present is not None:
            return _fresh(present, asked, how)
        created = now()
        base = CollectionState(
            name=request.name,
            created=created,
            updated=created,
            fields=request.fields,
            min_rel=request.min_rel,
            sources=[source.label for source in request.given.sources()],
            integer_ids=True,
            request=asked,
        )
        return make_state(store, base, None, request.given, how)


def _fresh(present: CollectionState, asked: str, how: How) -> Outcome:
    same = present.request == asked and (how.on_error == "skip" or not present.rejected)
    if not same:
        raise Conflict(
            f"collection '{present.name}' exists already, with other content",
            hint=f"change it: msmctl collection update {present.name}; "
            f"or remove it first: msmctl collection rm {present.name} --yes",
        )
    return Outcome("fresh", present, present, dry_run=how.dry_run)


def _check_given(request: ImportRequest) -> None:
    given = request.given
    if not given.passages:
        raise UsageError("no passages given", hint="--passages FILE, --beir, --ir-dataset or --hf-dataset")
    if given.qrels and not given.queries:
        raise UsageError("qrels without queries", hint="give the queries too: --queries [split=]FILE")
    if request.min_rel < 1:
        raise UsageError(f"--min-rel {request.min_rel}: a positive has at least grade 1", hint="--min-rel 1")
    for split in [split for split, _ in given.queries] + [split for split, _ in given.qrels]:
        if split is not None:
            check_split(split)
