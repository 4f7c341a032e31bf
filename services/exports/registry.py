"""The export formats there are, by name and in the order of their help."""

from __future__ import annotations

from typing import Any

from services.exports.format import Format
from services.exports.formats.beir import BEIR
from services.exports.formats.flagembedding import FLAGEMBEDDING
from services.exports.formats.hard_negatives import HARD_NEGATIVES
from services.exports.formats.labeled_pair import LABELED_PAIR
from services.exports.formats.msmarco import MSMARCO
from services.exports.formats.pylate_kd import PYLATE_KD
from services.exports.formats.qidpidtriples import QIDPIDTRIPLES
from services.exports.formats.qrels import QRELS
from services.exports.formats.scores_parquet import SCORES_PARQUET
from services.exports.formats.scores_pickle import SCORES_PICKLE
from services.exports.formats.tevatron import TEVATRON
from services.exports.formats.trec_run import TREC_RUN
from services.exports.formats.triplets import TRIPLETS
from services.exports.formats.tuples import TUPLES

_ALL: list[Format[Any]] = [
    HARD_NEGATIVES,
    SCORES_PICKLE,
    SCORES_PARQUET,
    *TRIPLETS,
    MSMARCO,
    LABELED_PAIR,
    *TUPLES,
    FLAGEMBEDDING,
    TEVATRON,
    PYLATE_KD,
    QIDPIDTRIPLES,
    TREC_RUN,
    QRELS,
    BEIR,
]
FORMATS = {one.name: one for one in _ALL}
