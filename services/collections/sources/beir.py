"""A BEIR folder: corpus.jsonl, queries.jsonl, qrels/<split>.tsv, each plain, .gz or .zst."""

from __future__ import annotations

import re
from pathlib import Path

from services.collections.names import check_split
from services.collections.sources.jsonl import JsonlSource
from services.collections.sources.source import Given
from services.collections.sources.tsv import QrelsSource
from services.errors import InputError, UsageError

_ENDINGS = ("", ".gz", ".zst")
_QRELS = re.compile(r"([^.].*)\.tsv(\.gz|\.zst)?", re.DOTALL)


def beir_folder(folder: Path) -> Given:
    """All of a BEIR folder; a query belongs to the splits whose qrels judge it.

    Raises:
        InputError: there is no such folder, it lacks its corpus, a file is there both packed and
            unpacked, or its qrels are named wrongly or hold a split twice.
    """
    corpus, queries = _find(folder, "corpus.jsonl"), _find(folder, "queries.jsonl")
    if corpus is None:
        raise InputError(
            f"{folder}: no BEIR folder: it has no corpus.jsonl (.gz, .zst)",
            hint="it holds corpus.jsonl, queries.jsonl and qrels/<split>.tsv",
        )
    qrels = [(split, QrelsSource(path)) for split, path in _qrels(folder / "qrels").items()]
    if qrels and queries is None:
        raise InputError(f"{folder}: has qrels but no queries.jsonl (.gz, .zst)", hint="add the file")
    return Given(
        passages=[JsonlSource(corpus)],
        queries=[(None, JsonlSource(queries))] if queries else [],
        qrels=list(qrels),
    )


def _qrels(folder: Path) -> dict[str, Path]:
    """The qrels file of each split; whatever else lies in the folder (dot files, notes) is passed over."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*")):
        match = _QRELS.fullmatch(path.name)
        if not match:
            continue
        try:
            split = check_split(match[1])
        except UsageError as error:
            raise InputError(f"{path}: {error.message}", hint=f"rename the file: {error.hint}") from None
        if split in found:
            raise InputError(
                f"split '{split}' has two files: {found[split]} and {path}", hint="remove one of them"
            )
        found[split] = path
    return found


def _find(folder: Path, name: str) -> Path | None:
    try:
        found = [path for ending in _ENDINGS if (path := folder / f"{name}{ending}").is_file()]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}", hint="check the path") from error
    if len(found) > 1:
        raise InputError(
            f"{folder}: has {' and '.join(path.name for path in found)}: which one?",
            hint="leave one there: the others may be of another state",
        )
    return found[0] if found else None
