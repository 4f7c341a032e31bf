"""Tab-separated passages and queries, and qrels in TREC's and BEIR's layouts."""

from __future__ import annotations

from pathlib import Path

from services.collections.bad_row import BadRow
from services.collections.rows import GRADE_KEYS, JUDGED_QID_KEYS, PID_KEYS, QID_KEYS, Record
from services.collections.sources.lines import LineSource

PASSAGE_COLUMNS = ("pid", "text")
QUERY_COLUMNS = ("qid", "text")
_SPELLINGS = {"pid": PID_KEYS, "qid": QID_KEYS, "text": ("text", "query")}


class TsvSource(LineSource):
    """Lines of tab-separated values in known columns.

    A first line of the columns' names, in any of the spellings known in JSON and in any case, is a header.

    Args:
        path: The file.
        columns: Names in the order of the file.
    """

    typed = False

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        super().__init__(path)
        self._columns = columns

    def identity(self) -> list[str]:
        """Class, sha256 and columns."""
        return [*super().identity(), *self._columns]

    def parse(self, line: str, number: int) -> Record | None:
        """One cell per column."""
        cells = line.split("\t")
        if len(cells) != len(self._columns):
            names = ", ".join(self._columns)
            remedy = f"give each line {names}, separated by one tab, none within the text"
            if self._columns[0] == "pid":
                remedy += "; name other columns with --columns pid,title,text"
            raise BadRow(f"{_columns(len(cells))}, not {len(self._columns)} ({names})", remedy)
        if number == 1 and all(map(_names, cells, self._columns)):
            return None
        return dict(zip(self._columns, cells, strict=True))


class IdSource(LineSource):
    """One pid per line; a first line that names the column, as in `TsvSource`, is a header."""

    typed = False

    def parse(self, line: str, number: int) -> Record | None:
        """The line is the id."""
        return None if number == 1 and _names(line, "pid") else {"pid": line}


class QrelsSource(LineSource):
    """`qid Q0 pid grade` (TREC) or `qid pid grade` (BEIR, with or without its header), any white space.

    The first line says which of the two it is; all lines must be alike.
    """

    typed = False
    _width = 0

    def parse(self, line: str, number: int) -> Record | None:
        """One judgement."""
        cells = line.split()
        if cells and not self._width:
            self._width = 3 if len(cells) == 3 else 4
            if number == 1 and cells[0].lower() in JUDGED_QID_KEYS and cells[-1].lower() in GRADE_KEYS:
                return None
        if len(cells) != self._width or not cells:
            layout = "qid pid grade" if self._width == 3 else "qid 0 pid grade"
            raise BadRow(
                f"{_columns(len(cells))}, not {self._width or 4} ({layout})",
                "write `qid 0 pid grade` (TREC) or `qid pid grade` (BEIR) on every line",
            )
        return {"qid": cells[0], "pid": cells[-2], "grade": cells[-1]}


def _names(cell: str, column: str) -> bool:
    return cell.strip().lower() in _SPELLINGS.get(column, (column.lower(),))


def _columns(n: int) -> str:
    return f"{n} column" + ("" if n == 1 else "s")
