"""Numbers of things in words: one query, two queries."""

from __future__ import annotations


def counted(count: int, things: str) -> str:
    """`1 query`, `2,000 queries`.

    Args:
        count: How many.
        things: Their plural, which ends in -s or -ies.
    """
    if count != 1:
        return f"{count:,} {things}"
    return f"1 {things[:-3]}y" if things.endswith("ies") else f"1 {things.removesuffix('s')}"
