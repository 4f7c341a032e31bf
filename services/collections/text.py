"""The one text of a passage: what is encoded, indexed for BM25 and reranked."""

from __future__ import annotations


def passage_text(title: str | None, text: str) -> str:
    """Title, a space, text, stripped (BEIR's rule); the text alone where there is no title."""
    return f"{title} {text}".strip() if title else text
