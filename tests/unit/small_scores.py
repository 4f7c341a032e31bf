"""Puts made-up cross-encoder scores into a collection's store."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from services.collections.collection import Collection
from services.scoring.score_folder import ScoredBy, ScoreFolder
from services.scoring.score_parts import Triples, write_stream

MINILM = "ms-marco-MiniLM-L6-v2"
"""A cross-encoder with a margin of its own: 3 logits."""
ELECTRA = "ms-marco-electra-base"
"""One without."""


def save_scores(collection: Collection, scores: Mapping[tuple[str, str], float], ce: str = MINILM) -> None:
    """Scores by (qid, pid)."""
    qords = collection.qords_of([qid for qid, _ in scores])
    ords = collection.ords_of([pid for _, pid in scores])
    values = np.array(list(scores.values()), np.float32)
    order = np.lexsort((ords, qords))
    folder = ScoreFolder(collection.store, collection.name, ScoredBy(ce=ce, fingerprint=f"of-{ce}"))
    folder.add(write_stream(folder, [Triples(qords[order], ords[order], values[order])]))
