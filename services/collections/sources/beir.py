"""A BEIR folder: corpus.jsonl, queries.jsonl, qrels/<split>.tsv, each plain, .gz or .zst."""

from __future__ import annotations

from pathlib import Path

from services.collections.names import check_split
from services.collections.sources.jsonl import JsonlSource
from services.collections.sources.source import Given
from services.collections.sources.tsv import QrelsSource
from services.errors import InputError

_ENDINGS = ("", ".gz", ".zst")


def beir_folder(folder: Path) -> Given:
    """All of a BEIR folder; a query belongs to the splits whose qrels judge it.

    Raises:
        InputError: there is no such folder, or it lacks its corpus.
    """
    corpus, queries = _find(folder, "corpus.jsonl"), _find(folder, "queries.jsonl")
    if corpus is None:
        raise InputError(
            f"{folder}: no BEIR folder: it has no corpus.jsonl (.gz, .zst)",
            hint="it holds corpus.jsonl, queries.jsonl and qrels/<split>.tsv",
        )
    qrels = [
        (check_split(path.name.partition(".")[0]), QrelsSource(path))
        for path in sorted((folder / "qrels").glob("*.tsv*"))
    ]
    if qrels and queries is None:
        raise InputError(f"{folder}: has qrels but no queries.jsonl (.gz, .zst)", hint="add the file")
    return Given(
        passages=[JsonlSource(corpus)],
        queries=[(None, JsonlSource(queries))] if queries else [],
        qrels=list(qrels),
    )


def _find(folder: Path, name: str) -> Path | None:
    return next((path for ending in _ENDINGS if (path := folder / f"{name}{ending}").is_file()), None)
