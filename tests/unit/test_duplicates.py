"""Ids seen so far: the first occurrence wins, however ids are batched."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.collections.duplicates import SeenIds


@given(
    st.lists(st.lists(st.sampled_from([f"id{i}" for i in range(20)]), min_size=1, max_size=15), max_size=12)
)
def test_every_id_is_found_where_a_dictionary_finds_it(batches: list[list[str]]) -> None:
    seen = SeenIds()
    first: dict[str, int] = {}
    line = 0
    for batch in batches:
        lines = np.arange(line, line + len(batch), dtype=np.int64)
        expected = []
        for text in batch:
            expected.append(first.get(text, -1))
            first.setdefault(text, line)
            line += 1
        assert seen.add(batch, lines).tolist() == expected


def test_many_ids_are_kept_apart() -> None:
    seen = SeenIds()
    ids = [str(i) for i in range(100_000)]
    for lo in range(0, len(ids), 4096):
        block = ids[lo : lo + 4096]
        assert (seen.add(block, np.arange(lo, lo + len(block), dtype=np.int64)) == -1).all()
    assert seen.add(["99999", "100000", "0"], np.zeros(3, np.int64)).tolist() == [99_999, -1, 0]
