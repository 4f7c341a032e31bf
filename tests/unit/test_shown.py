"""Ids as messages show them: whole where they are short, and nothing in them acts on a terminal."""

from __future__ import annotations

import pytest

from services.shown import listed, shown


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("p1", "'p1'"),
        (7, "'7'"),
        ("größer", "'größer'"),
        ("a\x1b[2J\nb", r"'a\x1b[2J\nb'"),
        ("a\u202eb\ud800", r"'a\u202eb\ud800'"),
        ("x" * 60, "'" + "x" * 60 + "'"),
        ("x" * 5_000, "'" + "x" * 60 + "…' (5,000 characters)"),
    ],
)
def test_an_id_is_shown_escaped_and_cut(value: object, says: str) -> None:
    assert shown(value) == says


def test_names_are_listed_as_far_as_a_line_goes() -> None:
    assert listed(["a", "b\tc"]) == r"a, b\tc"
    assert len(listed("name" for _ in range(100_000))) == 200
