"""The export formats there are, by name and in the order of their help."""

from __future__ import annotations

from typing import Any

from services.exports.format import Format
from services.exports.formats.hard_negatives import HARD_NEGATIVES
from services.exports.formats.scores_parquet import SCORES_PARQUET
from services.exports.formats.scores_pickle import SCORES_PICKLE
from services.exports.formats.triplets import TRIPLETS

_ALL: list[Format[Any]] = [HARD_NEGATIVES, SCORES_PICKLE, SCORES_PARQUET, *TRIPLETS]
FORMATS = {one.name: one for one in _ALL}
