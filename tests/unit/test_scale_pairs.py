"""The benchmark of pairs computes what it says: its counts are those of plain Python on the same rankings."""

from __future__ import annotations

import subprocess
import sys
from itertools import chain

import numpy as np
import pytest

from benchmarks import scale_pairs

QUERIES, PASSAGES = 2000, 20_000


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, int]]:
    """By stage, what it read and what it gave."""
    command = [
        sys.executable,
        scale_pairs.__file__,
        "--quick",
        "--scratch",
        str(tmp_path_factory.mktemp("s")),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    cells = [line.replace(",", "").split() for line in done.stdout.splitlines()]
    return {row[0]: (int(row[1]), int(row[2])) for row in cells if len(row) == 7 and row[1].isdigit()}


@pytest.fixture(scope="module")
def lists() -> list[list[list[int]]]:
    """Per query and system, the ranking."""
    qords = np.arange(QUERIES, dtype=np.int32)
    systems = range(scale_pairs.SYSTEMS)
    return np.stack([scale_pairs.ranked(qords, n, PASSAGES) for n in systems], 1).tolist()


@pytest.fixture(scope="module")
def positives() -> list[int]:
    return scale_pairs.positives(np.arange(QUERIES, dtype=np.int32), PASSAGES).tolist()


pytestmark = pytest.mark.slow


def test_no_system_returns_a_passage_twice(lists: list[list[list[int]]]) -> None:
    assert all(len(set(ranking)) == scale_pairs.DEPTH for query in lists for ranking in query)


def test_each_distinct_pair_is_scored_and_found_once(counts, lists, positives) -> None:
    distinct = sum(len({one, *chain(*query)}) for query, one in zip(lists, positives, strict=True))
    asked = QUERIES * (scale_pairs.SYSTEMS * scale_pairs.DEPTH + 1)
    assert counts["dedupe"] == (asked, distinct)
    assert counts["scores"] == counts["join"] == counts["scores-pickle"] == (distinct, distinct)


def test_filters_and_exports_leave_what_the_filters_are_defined_to_leave(counts, lists, positives) -> None:
    kept = sum(_kept(*one) for one in zip(range(QUERIES), lists, positives, strict=True))
    rows = QUERIES * scale_pairs.SYSTEMS * scale_pairs.DEPTH
    assert counts["filters"] == counts["triplet-hard-ids"] == counts["hard-negatives"] == (rows, kept)


def _kept(query: int, rankings: list[list[int]], positive: int) -> int:
    """Negatives under ce-margin=3, rank-range=1:30, max-per-system=5."""
    ords = np.unique(rankings)
    qords = np.full(len(ords), query, np.int32)
    scores = dict(zip(ords.tolist(), scale_pairs.ce_scores(qords, ords, PASSAGES).tolist(), strict=True))
    taken: set[int] = set()
    for ranking in rankings:
        open_ = [one for one in ranking[:30] if 8 - scores[one] > 3 and one not in taken | {positive}]
        taken.update(open_[:5])
    return len(taken)
