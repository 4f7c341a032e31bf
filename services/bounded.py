"""How much a request may be made of, told before it is validated: pydantic describes all that is wrong."""

from __future__ import annotations

from typing import Any


def holds_more(given: Any, most: int) -> bool:
    """Whether a JSON value is made of more than `most` values, at any depth. Looks at no more of them."""
    waiting, left = [given], most
    while waiting:
        present = waiting.pop()
        inner = present.values() if isinstance(present, dict) else present
        if isinstance(present, dict | list | tuple):
            left -= len(inner)
            if left < 0:
                return True
            waiting += inner
    return False
