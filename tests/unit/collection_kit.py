"""Imports and updates from files in a temporary folder, with few words; and `msmctl` in this process."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from services.collections.change import How, OnError, Outcome
from services.collections.collection import Collection
from services.collections.fields import parse_declarations
from services.collections.importer import ImportRequest, import_collection
from services.collections.sources import files
from services.collections.sources.source import Given
from services.collections.updater import update_collection
from services.store import Store

Content = str | bytes
Splits = Mapping[str | None, Content]


class Kit:
    """A store in a folder, and files written on the fly.

    A content is a file's text or bytes; `passages_name` and the like give it another format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(str(folder / "store"))
        self.locks = folder / "locks"

    def file(self, name: str, content: Content) -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def make(
        self,
        passages: Content,
        queries: Splits | None = None,
        qrels: Mapping[str, Content] | None = None,
        *,
        passages_name: str = "passages.tsv",
        name: str = "c",
        fields: tuple[str, ...] = (),
        columns: str = "pid,text",
        min_rel: int = 1,
        on_error: OnError = "fail",
        dry_run: bool = False,
    ) -> Outcome:
        declared = parse_declarations(list(fields))
        given = Given(
            passages=[
                files.passages(
                    self.file(passages_name, passages), files.passage_columns(columns, declared), declared
                )
            ],
            **self._judged(queries, qrels),
        )
        request = ImportRequest(name, given, declared, min_rel)
        return import_collection(self.store, request, How(self.locks, on_error, dry_run))

    def update(
        self,
        passages: Content | None = None,
        queries: Splits | None = None,
        qrels: Mapping[str, Content] | None = None,
        *,
        delete: Content | None = None,
        passages_name: str = "update.tsv",
        on_error: OnError = "fail",
        dry_run: bool = False,
    ) -> Outcome:
        given = Given(
            passages=[] if passages is None else [files.passages(self.file(passages_name, passages))],
            delete=[] if delete is None else [files.pids(self.file("delete.txt", delete))],
            **self._judged(queries, qrels),
        )
        return update_collection(self.store, "c", given, How(self.locks, on_error, dry_run))

    def open(self, version: int | None = None) -> Collection:
        return Collection.open(self.store, "c", version)

    def everything(self) -> list[Path]:
        """Every file of the collection's folder."""
        root = self.folder / "store" / "collections" / "c"
        return sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())

    def _judged(self, queries: Splits | None, qrels: Mapping[str, Content] | None) -> dict[str, Any]:
        return {
            "queries": [
                (split, files.queries(self.file(f"queries.{split}.tsv", content)))
                for split, content in (queries or {}).items()
            ],
            "qrels": [
                (split, files.qrels(self.file(f"qrels.{split}.txt", content)))
                for split, content in (qrels or {}).items()
            ],
        }


def live_texts(collection: Collection) -> dict[str, str]:
    """pid -> encoded text of the live passages."""
    count = collection.passage_count
    rows = zip(collection.pids.to_pylist(), collection.passage_texts(0, count), collection.live, strict=True)
    return {pid: text for pid, text, live in rows if live}


@dataclass(frozen=True)
class Answer:
    """What a command gave."""

    code: int
    stdout: str
    stderr: str


def run_main(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str | Path
) -> Answer:
    """The entry point, called in this process: a process per call would take a second each."""
    monkeypatch.setattr(sys, "argv", ["msmctl", *map(str, arguments)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        main()
    printed = capsys.readouterr()
    return Answer(int(done.value.code or 0), printed.out, printed.err)
