"""The ledger's documents in one SQLite file: for one machine, where Elasticsearch is not reachable."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from services.errors import Unavailable
from services.jobs.documents import Body, Exists, Stale, Stored, Table

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    collection TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (collection, id)
) WITHOUT ROWID
"""
_BLOCK = 500
_BUSY_SECONDS = 30.0


class SqliteDocuments:
    """Documents in a file; safe for several threads and processes of one machine."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute(_SCHEMA)
        except sqlite3.Error as error:
            raise Unavailable(f"{path}: {error}", hint="the file ledger needs a writable MSM_HOME") from error

    def get(self, table: Table, key: str) -> Stored | None:
        """See `Documents`."""
        return self.get_many(table, [key]).get(key)

    def get_many(self, table: Table, keys: Sequence[str]) -> dict[str, Stored]:
        """See `Documents`."""
        found: dict[str, Stored] = {}
        for start in range(0, len(keys), _BLOCK):
            block = keys[start : start + _BLOCK]
            rows = self._run(
                "SELECT id, version, body FROM documents "
                "WHERE collection = ? AND id IN (SELECT value FROM json_each(?))",
                [(table, _text(block))],
            )
            found |= {key: Stored(orjson.loads(body), str(version)) for key, version, body in rows}
        return found

    def create(self, table: Table, key: str, body: Body) -> str:
        """See `Documents`."""
        if not self._run(
            "INSERT OR IGNORE INTO documents VALUES (?, ?, 1, ?) RETURNING id", [(table, key, _text(body))]
        ):
            raise Exists(key)
        return "1"

    def create_many(self, table: Table, bodies: Mapping[str, Body]) -> None:
        """See `Documents`."""
        self._run(
            "INSERT OR IGNORE INTO documents VALUES (?, ?, 1, ?)",
            [(table, key, _text(body)) for key, body in bodies.items()],
        )

    def replace(self, table: Table, key: str, body: Body, version: str) -> str:
        """See `Documents`."""
        rows = self._run(
            "UPDATE documents SET body = ?, version = version + 1 "
            "WHERE collection = ? AND id = ? AND version = ? RETURNING version",
            [(_text(body), table, key, int(version))],
        )
        if not rows:
            raise Stale(key)
        return str(rows[0][0])

    def delete_many(self, table: Table, keys: Iterable[str]) -> None:
        """See `Documents`."""
        self._run("DELETE FROM documents WHERE collection = ? AND id = ?", [(table, key) for key in keys])

    def find(self, table: Table, field: str, values: Sequence[str], limit: int = 10_000) -> list[str]:
        """See `Documents`."""
        rows = self._run(
            "SELECT id FROM documents WHERE collection = ? "
            "AND body ->> ? IN (SELECT value FROM json_each(?)) "
            "ORDER BY body ->> 'created' DESC, id DESC LIMIT ?",
            [(table, field, _text(values), limit)],
        )
        return [str(key) for (key,) in rows]

    def _run(self, statement: str, parameters: list[tuple[object, ...]]) -> list[tuple[Any, ...]]:
        """Run a statement for each tuple of parameters, all in one transaction; rows of the last one."""
        with self._lock:
            try:
                if len(parameters) == 1:
                    return self._db.execute(statement, parameters[0]).fetchall()
                with self._db:
                    self._db.execute("BEGIN IMMEDIATE")
                    self._db.executemany(statement, parameters)
            except sqlite3.Error as error:
                raise Unavailable(
                    f"file ledger: {error}", hint="is the disk full, or another process stuck?"
                ) from error
        return []


def _text(value: Body | Sequence[str]) -> str:
    return orjson.dumps(value).decode()
