"""Ids and texts of a collection as exports write them: whole columns at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from services.collections.collection import Collection, Ords
from services.collections.text import passage_text
from services.negatives.block import CandidateBlock, Index


class Lookup:
    """Of one collection state.

    Ids are integers where every id of the collection is canonical decimal below 2^63, else strings. Ords
    may come in any order and repeatedly.
    """

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.integer_ids = collection.state.integer_ids

    # -- ids ---------------------------------------------------------------------------------------

    def pids(self, ords: Ords) -> pa.Array:
        """Of passages, as strings."""
        return self._pids.take(pa.array(ords)).cast(pa.string())

    def qids(self, block: CandidateBlock) -> pa.Array:
        """Of a block's queries, as strings."""
        return pa.array(block.qids, pa.string())

    def typed_pids(self, ords: Ords) -> pa.Array:
        """Of passages: int64, or strings."""
        return pa.array(self._numbers[ords]) if self.integer_ids else self.pids(ords)

    def typed_qids(self, qords: Ords) -> pa.Array:
        """Of queries: int64, or strings."""
        return self.typed([self.collection.qids[qord] for qord in qords.tolist()])

    def typed(self, ids: list[str]) -> pa.Array:
        """Some ids: int64, or strings."""
        strings = pa.array(ids, pa.string())
        return strings.cast(pa.int64()) if self.integer_ids else strings

    def pid_numbers(self, ords: Ords) -> Index:
        """Of passages: the ids where these are integers, else the ords."""
        return self._numbers[ords] if self.integer_ids else ords.astype(np.int64)

    def qid_numbers(self, block: CandidateBlock) -> Index:
        """Of a block's queries: the ids where these are integers, else the qords."""
        return np.array(block.qids, np.int64) if self.integer_ids else block.qords.astype(np.int64)

    def json_pids(self, ords: Ords) -> pa.Array:
        """Of passages, as JSON has them: digits, or quoted."""
        return self.as_json(self.typed_pids(ords))

    def as_json(self, ids: pa.Array) -> pa.Array:
        """Typed ids as JSON has them."""
        if self.integer_ids:
            return ids.cast(pa.string())
        distinct = ids.dictionary_encode()
        quoted = [orjson.dumps(value).decode() for value in distinct.dictionary.to_pylist()]
        return pa.array(quoted, pa.string()).take(distinct.indices)

    @cached_property
    def _pids(self) -> pa.Array:
        return self.collection.pids.cast(pa.large_string()).combine_chunks()

    @cached_property
    def _numbers(self) -> Index:
        numbers: Index = self._pids.cast(pa.int64()).to_numpy()
        return numbers

    # -- texts -------------------------------------------------------------------------------------

    def texts(self, ords: Ords) -> pa.DictionaryArray:
        """Of passages (title, space, text); each text is there once. One pass over the collection."""
        distinct, back = np.unique(ords, return_inverse=True)
        rows = self.collection.take_passages(distinct, ["title", "text"])
        return pa.DictionaryArray.from_arrays(pa.array(back.astype(np.int32)), whole_texts(rows))

    def texts_of(self, ords: Ords) -> list[str]:
        """Of passages, a string for each."""
        found = self.texts(ords)
        texts = found.dictionary.to_pylist()
        return [texts[n] for n in found.indices.to_pylist()]

    def passages_of(self, ords: Ords, keys: Sequence[str]) -> list[dict[str, str]]:
        """Of passages, an object for each with id, title (may be empty) and text under these keys."""
        distinct, back = np.unique(ords, return_inverse=True)
        rows = self.collection.take_passages(distinct, ["pid", "title", "text"])
        columns = [rows["pid"], pc.fill_null(rows["title"], ""), rows["text"]]
        objects = pa.table(columns, list(keys)).to_pylist()
        return [objects[n] for n in back.tolist()]

    def query_texts(self, block: CandidateBlock) -> pa.Array:
        """Of a block's queries."""
        lo, hi = int(block.qords[0]), int(block.qords[-1]) + 1
        texts = self.collection.read_queries(lo, hi, ["text"])["text"].take(pa.array(block.qords - lo))
        return texts.combine_chunks()


def whole_texts(rows: pa.Table) -> pa.Array:
    """The texts (title, space, text) of rows of passages."""
    title, text = (rows[name].combine_chunks() for name in ("title", "text"))
    has_title = pc.fill_null(pc.not_equal(title, ""), False)
    if not pc.any(has_title, min_count=0).as_py():
        return text
    places = np.flatnonzero(has_title.to_numpy(zero_copy_only=False))
    titled = zip(
        title.take(pa.array(places)).to_pylist(), text.take(pa.array(places)).to_pylist(), strict=True
    )
    return pc.replace_with_mask(
        text, has_title, pa.array([passage_text(*one) for one in titled], pa.string())
    )


def lists(values: pa.Array, starts: Index) -> pa.ListArray:
    """Values in rows; row n is `starts[n]:starts[n + 1]`."""
    return pa.ListArray.from_arrays(pa.array(starts.astype(np.int32)), values)


def joined(tokens: pa.Array, starts: Index, separator: str = ",") -> pa.Array:
    """Strings in rows, those of a row joined."""
    return pc.binary_join(lists(tokens, starts), separator)


def text_bytes(lines: pa.Array) -> bytes:
    """All strings of an array, one behind the other: the array's own bytes."""
    array: Any = lines.cast(pa.large_binary())
    offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset : array.offset + len(array) + 1]
    data: npt.NDArray[np.uint8] = np.frombuffer(array.buffers()[2], np.uint8)
    return data[offsets[0] : offsets[-1]].tobytes() if len(array) else b""
