"""Checks a collection on disk: every part, every count, every reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel

from services.collections.collection import Collection, folder, state_key
from services.collections.duplicates import SeenIds
from services.collections.state import CollectionState
from services.collections.writer import parts_by_table
from services.store import Part, Store
from services.store.fingerprint import file_sha256

_BATCH = 32_768


class Finding(BaseModel):
    """What is wrong, and where."""

    where: str
    found: str


def verify_collection(
    store: Store, name: str, report: Callable[[int], None] = lambda done: None
) -> list[Finding]:
    """All findings on the present state; an empty list means that it is whole.

    Args:
        store: The store.
        name: The collection.
        report: Called with the bytes read since the last call.

    Raises:
        NotFound: there is no such collection.
    """
    state = Collection.open(store, name).state
    findings = [*_states(store, state)]
    findings += _parts(store, state, report)
    collection = Collection(store, state)
    findings = findings or list(_positions(collection))
    if findings:  # what follows trusts the parts and their positions
        return findings
    return [*_counts(collection), *_repeats(collection), *_references(collection)]


def _states(store: Store, state: CollectionState) -> Iterator[Finding]:
    key = state_key(state.name, state.version)
    if store.read_json(key) != state.model_dump(mode="json"):
        yield Finding(where=store.location(key), found="the present state's own file is missing or differs")


def _parts(store: Store, state: CollectionState, report: Callable[[int], None]) -> Iterator[Finding]:
    for table, parts in parts_by_table(state).items():
        for part in parts:
            key = f"{folder(state.name)}/{table}/{part.name}"
            found = _part(store, key, part)
            report(part.bytes)
            if found:
                yield Finding(where=store.location(key), found=found)


def _part(store: Store, key: str, part: Part) -> str | None:
    try:
        path = store.local_path(key)
        sha = file_sha256(path)
        if sha != part.sha256:
            return f"sha256 is {sha[:12]}…, not {part.sha256[:12]}… as the manifest says"
        rows = pq.ParquetFile(path).metadata.num_rows
    except FileNotFoundError:
        return "the part is missing"
    except (OSError, pa.ArrowException) as error:
        return f"cannot be read: {error}"
    return None if rows == part.rows else f"has {rows} rows, not {part.rows}"


def _positions(collection: Collection) -> Iterator[Finding]:
    """Ords and qords run from 0 without a gap, part after part."""
    state = collection.state
    tables = (
        ("passages", "ord", state.passages, state.passage_count, collection.read_passages),
        ("queries", "qord", state.queries, state.query_count, collection.read_queries),
    )
    for table, column, parts, count, read in tables:
        expected = 0
        for part in parts:
            found = read(part.lo, part.hi, [column])[column].to_numpy()
            if part.lo != expected or not np.array_equal(found, np.arange(expected, part.hi)):
                yield Finding(
                    where=f"{table}/{part.name}",
                    found=f"{column} does not run from {expected} to {part.hi - 1}",
                )
            expected = part.hi
        if expected != count:
            yield Finding(where=table, found=f"{expected} {column}s given out, but the manifest says {count}")


def _counts(collection: Collection) -> Iterator[Finding]:
    state = collection.state
    for name, live, count in (
        ("live_passages", collection.live, state.live_passages),
        ("live_queries", collection.live_queries, state.live_queries),
    ):
        if int(live.sum()) != count:
            yield Finding(where="collection.json", found=f"{name} is {count}, but {int(live.sum())} are live")


def _repeats(collection: Collection) -> Iterator[Finding]:
    """No two live passages share a pid, no two live queries a qid."""
    qids = pa.chunked_array([pa.array(collection.qids, pa.string())])
    columns = (("pid", collection.pids, collection.live), ("qid", qids, collection.live_queries))
    for name, ids, live in columns:
        seen = SeenIds()
        positions = np.flatnonzero(live)
        for lo in range(0, len(positions), _BATCH):
            block = positions[lo : lo + _BATCH]
            texts = ids.take(pa.array(block)).to_pylist()
            for i in np.flatnonzero(seen.add(texts, block.astype(np.int64)) >= 0).tolist():
                yield Finding(where=name, found=f"{name} '{texts[i]}' is live twice")


def _references(collection: Collection) -> Iterator[Finding]:
    """Splits name qords that there are; qrels name ids that there are, or were before an update.

    Pooled judgements may be about passages of the larger collection.
    """
    state = collection.state
    for split in state.splits:
        members = collection.split_members(split)
        if len(members) and members[-1] >= state.query_count:
            yield Finding(where=f"splits/{split}", found=f"names qord {members[-1]} of {state.query_count}")
    known = {"qid": pa.chunked_array([pa.array(collection.qids, pa.string())])}
    if not state.is_pooled:
        known["pid"] = collection.pids
    for split in state.qrels:
        table = collection.judgements(split)
        for name, ids in known.items():
            unknown = _unknown(table[name], ids)
            if unknown:
                found = f"{len(unknown)} {name}s are not in the collection, such as '{unknown[0]}'"
                yield Finding(where=f"qrels/{split}", found=found)


def _unknown(wanted: pa.ChunkedArray, ids: pa.ChunkedArray) -> list[str]:
    """Those of `wanted` that are not among `ids`; the hash table is on the smaller side."""
    asked = pc.unique(wanted)
    found = np.zeros(len(asked), np.bool_)
    found[pc.unique(pc.index_in(ids, value_set=asked).drop_null()).to_numpy()] = True
    return list(asked.filter(pa.array(~found)).to_pylist())
