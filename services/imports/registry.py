"""The formats of scores that can be imported, by name."""

from __future__ import annotations

from services.imports.kd import KD
from services.imports.pickle_scores import SCORES_PICKLE
from services.imports.scored import ScoresFormat
from services.imports.scores_parquet import SCORES_PARQUET

SCORES: dict[str, ScoresFormat] = {one.name: one for one in (SCORES_PICKLE, SCORES_PARQUET, KD)}
