"""The published pickle of scores: `scores[qid][pid] -> float`, for plain `pickle.load`.

The opcodes are written as they are needed (protocol 2, no memo), so that memory does not grow with the
scores and an export that was killed goes on. Each block of queries is one SETITEMS of the outer dict; ids
below 2^31 are BININT, a score is BINFLOAT: 14 bytes a pair, which numpy lays out.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.exports.format import Counts, Encoded, Format
from services.exports.lookup import Lookup, text_bytes
from services.exports.reading import SCORES, StoredScores
from services.negatives.block import Index
from services.scoring.score_parts import Triples

_BEGIN = b"\x80\x02}"  # PROTO 2, EMPTY_DICT
_MARK, _SETITEMS, _END = b"(", b"u", b"."
_NUMBER = np.dtype([("code", "S1"), ("value", ">f8")])
_SHORT = np.dtype([("code", "S1"), ("id", "<i4")])  # BININT
_LONG = np.dtype([("code", "S2"), ("id", "<i8")])  # LONG1, 8 bytes
_TEXT = np.dtype([("code", "S1"), ("bytes", "<u4")])  # BINUNICODE


def _encode(scored: Triples, lookup: Lookup, n: int, blocks: int) -> Encoded:
    qords, firsts = np.unique(scored.qords, return_index=True)
    pieces = [_BEGIN] if n == 0 else []
    if len(qords):
        pairs, sizes = _pairs(scored, lookup)
        ends = np.concatenate([[0], np.cumsum(sizes)])[np.append(firsts, len(scored.ords))]
        pieces.append(_MARK)
        for qord, (lo, hi) in zip(qords.tolist(), pairwise(ends.tolist()), strict=True):
            pieces += [_key(lookup.collection.qids[qord], lookup), b"}", _MARK, pairs[lo:hi], _SETITEMS]
        pieces.append(_SETITEMS)
    if n == blocks - 1:
        pieces.append(_END)
    return Encoded(b"".join(pieces), Counts(len(scored.ords), len(qords)))


def _pairs(scored: Triples, lookup: Lookup) -> tuple[bytes, Index]:
    """All pairs of a block as opcodes, and the bytes of each."""
    numbers = np.empty(len(scored.ords), _NUMBER)
    numbers["code"], numbers["value"] = b"G", scored.scores
    if lookup.integer_ids:
        keys = _integers(lookup.pid_numbers(scored.ords))
        pairs = np.empty(len(keys), [("key", keys.dtype), ("number", _NUMBER)])
        pairs["key"], pairs["number"] = keys, numbers
        return pairs.tobytes(), np.full(len(pairs), pairs.dtype.itemsize)
    pids = lookup.pids(scored.ords).cast(pa.binary())
    heads = np.empty(len(pids), _TEXT)
    heads["code"], heads["bytes"] = b"X", pc.binary_length(pids).to_numpy()
    pairs = pc.binary_join_element_wise(_binary(heads), pids, _binary(numbers), b"")
    return text_bytes(pairs), pc.binary_length(pairs).to_numpy()


def _key(qid: str, lookup: Lookup) -> bytes:
    if lookup.integer_ids:
        return _integers(np.array([int(qid)])).tobytes()
    text = qid.encode()
    return b"X" + struct.pack("<I", len(text)) + text


def _integers(ids: Index) -> npt.NDArray[Any]:
    short = len(ids) == 0 or int(ids.max()) < 1 << 31
    keys = np.empty(len(ids), _SHORT if short else _LONG)
    keys["code"], keys["id"] = b"J" if short else b"\x8a\x08", ids
    return keys


def _binary(records: npt.NDArray[Any]) -> pa.Array:
    width = pa.binary(records.dtype.itemsize)
    data = pa.py_buffer(records.tobytes())
    return pa.FixedSizeBinaryArray.from_buffers(width, len(records), [None, data]).cast(pa.binary())


SCORES_PICKLE: Format[StoredScores] = Format(
    name="scores-pickle",
    help="All scores of a cross-encoder as a pickle, scores[qid][pid] -> float.",
    example="scores.pkl.gz",
    reads=SCORES,
    outputs=lambda reading, options: [reading.output(_encode)],
)
