"""Distinct integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.distinct import distinct


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1)))
def test_each_number_is_there_once_in_ascending_order(numbers: list[int]) -> None:
    assert distinct(np.array(numbers, np.int64)).tolist() == sorted(set(numbers))


@pytest.mark.parametrize("dtype", [np.int32, np.uint64])
def test_the_type_stays(dtype: type[np.integer]) -> None:
    assert distinct(np.array([2, 1, 2], dtype)).dtype == dtype
