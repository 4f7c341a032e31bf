"""The demo's corpus: Python's own documentation as a BEIR folder with known-item queries.

Every documented module, class, function and method of the standard library is a passage: its
qualified name is the title, signature and docstring are the text. Where a docstring goes on after
its summary line, the line leaves the passage and becomes a query whose answer is that passage;
equal lines are one query with several answers. Splits are by top-level module, so that no module's
wording is in two of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.errors import MsmError

SPLITS = (("train", 70), ("dev", 80), ("test", 100))
"""Splits with the bucket (of 100) at which each ends."""
_WALK = Path(__file__).with_name("walk.py")
_TIMEOUT = 120.0
_CALL = re.compile(r"[\w.]+\(.*\)")
_WORD = re.compile(r"[A-Za-z]{2,}")


@dataclass(frozen=True)
class Entry:
    """One documented object, its docstring taken apart."""

    name: str
    kind: str
    signature: str
    summary: str | None
    """The line that leaves the passage as a query."""
    rest: str

    @property
    def module(self) -> str:
        """The top-level module."""
        return self.name.partition(".")[0]

    @property
    def text(self) -> str:
        """What the passage says."""
        return "\n".join(part for part in (self.signature, self.rest) if part)


@dataclass(frozen=True)
class Corpus:
    """A BEIR folder and what is in it. `made` is False where it was there already.

    Attributes:
        made_from: Fingerprint of the Python and of the code that made it.
    """

    folder: Path
    made_from: str
    passages: int
    queries: dict[str, int]
    made: bool


def parse(kind: str, name: str, signature: str, doc: str) -> Entry:
    """Take a docstring apart.

    A first line that only repeats the name, or the call as C functions write it, is no summary; the
    call is the signature where Python knows none. A summary is a first paragraph of one line (PEP
    257), or one wrapped once, with a body after it.
    """
    paragraph, body = _first_paragraph(doc)
    while body and (paragraph == name or _CALL.match(paragraph)):
        signature = signature or (paragraph if paragraph != name else "")
        doc = body
        paragraph, body = _first_paragraph(doc)
    if body and paragraph.count("\n") < 2 and len(_WORD.findall(paragraph)) > 1:
        return Entry(name, kind, signature, " ".join(paragraph.split()), body)
    return Entry(name, kind, signature, None, doc)


def _first_paragraph(doc: str) -> tuple[str, str]:
    """The first paragraph and the rest; a leading call is a paragraph of its own."""
    first, _, rest = doc.strip().partition("\n")
    if _CALL.match(first):
        return first.strip(), rest.strip()
    paragraph, *body = re.split(r"\n[ \t]*\n", doc.strip(), maxsplit=1)
    return paragraph, "".join(body).strip()


def split_of(module: str) -> str:
    """The split of a top-level module: the same on every machine, whatever else is there."""
    bucket = int(hashlib.sha256(module.encode()).hexdigest()[:8], 16) % 100
    return next(split for split, end in SPLITS if bucket < end)


def read_documentation() -> list[Entry]:
    """All entries of this Python, walked in a child process with a time limit.

    Raises:
        MsmError: the walk fails for a reason other than one module's import.
    """
    skip: list[str] = []
    with tempfile.TemporaryDirectory(prefix="msm-demo-") as scratch:
        result, progress = Path(scratch, "result.jsonl"), Path(scratch, "progress")
        while True:
            command = [sys.executable, "-S", "-s", "-P", str(_WALK), str(result), str(progress), *skip]
            try:
                done = subprocess.run(
                    command,
                    cwd=scratch,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=_TIMEOUT,
                    check=False,
                    text=True,
                    errors="replace",
                    env={"PYTHONHASHSEED": "0", "HOME": scratch, "LANG": "C.UTF-8"},
                )
                failure = done.stderr.strip().splitlines()[-1:] if done.returncode else None
            except subprocess.TimeoutExpired:
                failure = [f"no end after {_TIMEOUT:.0f} s"]
            if failure is None:
                lines = result.read_text("utf-8").splitlines()
                return [parse(**json.loads(line)) for line in lines]
            culprit = progress.read_text("utf-8").splitlines()[-1:] if progress.exists() else []
            if not culprit or culprit[0] in skip or len(skip) > 10:
                raise MsmError(
                    f"Python's documentation cannot be read: {' '.join(failure)}",
                    hint=f"try: {' '.join(command)}",
                )
            skip += culprit


def build(folder: Path) -> Corpus:
    """Make the corpus, or take what is there where it is of the same Python and code."""
    made_from = hashlib.sha256(
        b"".join(
            (
                sys.version.encode(),
                platform.platform().encode(),
                _WALK.read_bytes(),
                Path(__file__).read_bytes(),
            )
        )
    ).hexdigest()
    manifest = folder / "corpus.json"
    if manifest.exists():
        present = json.loads(manifest.read_text("utf-8"))
        if present["made_from"] == made_from:
            return Corpus(folder, made_from, present["passages"], present["queries"], made=False)
    entries = read_documentation()
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    _write_lines(
        folder / "corpus.jsonl",
        (
            json.dumps(
                {
                    "_id": entry.name,
                    "title": entry.name,
                    "text": entry.text,
                    "metadata": {"kind": entry.kind, "module": entry.module},
                },
                ensure_ascii=False,
            )
            for entry in entries
        ),
    )
    counts = _write_queries(folder, entries)
    facts: dict[str, Any] = {"made_from": made_from, "passages": len(entries), "queries": counts}
    _write_lines(manifest, [json.dumps(facts)])
    return Corpus(folder, made_from, len(entries), counts, made=True)


def _write_queries(folder: Path, entries: list[Entry]) -> dict[str, int]:
    """Queries and qrels; a query is in the split of its first answer's module."""
    answers: dict[str, list[str]] = {}
    for entry in entries:
        if entry.summary:
            answers.setdefault(entry.summary, []).append(entry.name)
    split_by_query = {text: split_of(names[0].partition(".")[0]) for text, names in answers.items()}
    _write_lines(
        folder / "queries.jsonl",
        (
            json.dumps({"_id": f"q-{names[0]}", "text": text}, ensure_ascii=False)
            for text, names in answers.items()
        ),
    )
    for split, _ in SPLITS:
        _write_lines(
            folder / "qrels" / f"{split}.tsv",
            [
                "query-id\tcorpus-id\tscore",
                *(
                    f"q-{names[0]}\t{name}\t1"
                    for text, names in answers.items()
                    if split_by_query[text] == split
                    for name in names
                ),
            ],
        )
    return dict(Counter(split_by_query.values()))


def _write_lines(path: Path, lines: Iterator[str] | list[str]) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with scratch.open("w", encoding="utf-8") as out:
        out.writelines(f"{line}\n" for line in lines)
    scratch.replace(path)
