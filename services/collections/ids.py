"""Which ids may be written as integers."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_CANONICAL = r"^(0|[1-9][0-9]{0,18})$"
_LARGEST = str(2**63 - 1)


def are_integers(ids: pa.ChunkedArray | pa.Array) -> bool:
    """Whether every id is canonical decimal (no sign, no leading zero) below 2^63."""
    if not pc.all(pc.match_substring_regex(ids, _CANONICAL), min_count=0).as_py():
        return False
    long = ids.filter(pc.equal(pc.binary_length(ids), len(_LARGEST)))
    return bool(pc.all(pc.less_equal(long, _LARGEST), min_count=0).as_py())
