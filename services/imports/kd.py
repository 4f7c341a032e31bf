"""The tab-separated teacher scores of knowledge distillation: pos_score, neg_score, qid, pos_pid, neg_pid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from services.collections.bad_row import BadRow
from services.collections.rows import LONGEST_ID, Record
from services.collections.sources.lines import LineSource
from services.imports.scored import BadScores, QueryScores, Read, ScoresFile, ScoresFormat
from services.mining.numbers import parse_number

_COLUMNS = ("pos_score", "neg_score", "qid", "pos_pid", "neg_pid")


class _KdLines(LineSource):
    """Lines of two scores and three ids."""

    typed = False

    def parse(self, line: str, number: int) -> Record | None:
        """The scores as numbers, the ids as they are."""
        cells = line.split("\t")
        if len(cells) != len(_COLUMNS):
            raise BadRow(
                f"{len(cells)} columns, not {len(_COLUMNS)} ({', '.join(_COLUMNS)})",
                f"give each line {', '.join(_COLUMNS)}, separated by one tab",
            )
        if number == 1 and tuple(cell.strip().lower() for cell in cells) == _COLUMNS:
            return None
        if max(map(len, cells[2:])) > LONGEST_ID:
            raise BadRow(f"an id of more than {LONGEST_ID} characters", "the last three columns are ids")
        scores = [parse_number(cells[0], "pos_score"), parse_number(cells[1], "neg_score")]
        return {"qid": cells[2], "pids": cells[3:], "scores": scores}


def _rows(file: Path, read: Read) -> Iterator[QueryScores | BadScores]:
    source = _KdLines(file)
    for number, record in source.records():
        if isinstance(record, BadRow):
            yield BadScores(number, record)
        else:
            yield QueryScores(record["qid"], record["pids"], np.array(record["scores"]), number)
        if not number % 4096:
            read(source.done / source.size)


KD = ScoresFormat(
    name="kd",
    help="Lines of pos_score, neg_score, qid, pos_pid, neg_pid, separated by tabs; plain, gz or zst.",
    example="teacher.tsv.gz",
    open=lambda file, read: ScoresFile("line", whole=False, rows=_rows(file, read)),
)
