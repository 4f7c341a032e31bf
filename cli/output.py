"""How results are printed: a table on a terminal, TSV when piped, JSON when asked; data on stdout only."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import click


def say(line: str) -> None:
    """A line for people, on stderr."""
    click.echo(line, err=True)


def is_plain() -> bool:
    """Whether nothing shall be coloured or bold (https://no-color.org)."""
    return bool(os.environ.get("NO_COLOR"))


def emit_json(value: Any) -> None:
    """One JSON value on stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=1 if sys.stdout.isatty() else None, default=str))


def emit_line(text: str, record: dict[str, Any], *, as_json: bool) -> None:
    """One line of a stream that may go on for long: as it is, or as a JSON object in one line."""
    click.echo(json.dumps(record, ensure_ascii=False) if as_json else text)


def emit_rows(rows: Sequence[dict[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Rows as a table, TSV or a JSON list (all keys of each row).

    Args:
        rows: One dict per row.
        columns: The keys that the table and the TSV show, in order.
        as_json: Print all of `rows` as one JSON list instead.
    """
    if as_json:
        emit_json(list(rows))
    elif sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, header_style="" if is_plain() else "bold", pad_edge=False)
        for column in columns:
            numeric = bool(rows) and all(isinstance(row.get(column), int | float) for row in rows)
            table.add_column(column, justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*(cell(row.get(column)) for column in columns))
        Console().print(table)
    else:
        click.echo("\t".join(columns))
        for row in rows:
            click.echo("\t".join(_plain(row.get(column)) for column in columns))


def emit_record(record: dict[str, Any], *, as_json: bool) -> None:
    """One record: `key  value` lines, or a JSON object."""
    if as_json:
        emit_json(record)
        return
    width = max((len(key) for key in record), default=0) if sys.stdout.isatty() else 0
    for key, value in record.items():
        click.echo(f"{key:<{width}}  {cell(value)}" if width else f"{key}\t{_plain(value)}")


def cell(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(cell(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}={cell(item)}" for key, item in value.items())
    return str(value)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    return text.replace("\t", " ").replace("\n", " ")
