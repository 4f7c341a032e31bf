"""Exact retrieval by term weights: right, the same bits however work is cut."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from services.encoding.weights import Weights
from services.errors import MsmError
from services.mining.ranking import Ords, Ranked
from services.mining.sparse import SparseRetriever

DIM = 300


class Table:
    """Term weights in memory, in shards of any size."""

    def __init__(self, rows: Weights, shard: int) -> None:
        self.rows, self.shard = rows, shard

    def blocks(self) -> Iterator[tuple[int, int, Weights]]:
        for lo in range(0, len(self.rows), self.shard):
            hi = min(lo + self.shard, len(self.rows))
            yield lo, hi, self.rows.part(lo, hi)

    def take(self, positions: Ords) -> Weights:
        return self.rows.take(positions)


def rows(count: int, terms: int, seed: int) -> Weights:
    """Some terms are in most rows, most in few."""
    rng = np.random.default_rng(seed)
    matrix = np.zeros((count, DIM), np.float32)
    for row in matrix:
        places = np.unique((DIM ** rng.random(terms)).astype(int) - 1)
        row[places] = rng.uniform(0.05, 3, len(places))
    return Weights.of_dense(matrix)


def search(
    queries: Weights, passages: Weights, k: int, *, shard: int = 400, live: np.ndarray | None = None
) -> list[Ranked]:
    everything = np.ones(len(passages), bool) if live is None else live
    retriever = SparseRetriever(Table(queries, 100), Table(passages, shard), everything)
    return list(retriever.search(np.arange(len(queries), dtype=np.int32), k))


def test_finds_what_a_full_sort_of_the_products_finds() -> None:
    queries, passages = rows(30, 8, 1), rows(1500, 40, 2)
    true = queries.dense().astype(np.float64) @ passages.dense().astype(np.float64).T
    for scores, found in zip(true, search(queries, passages, 20), strict=True):
        assert found.ords.tolist() == np.argsort(-scores, kind="stable")[:20].tolist()
        np.testing.assert_allclose(found.scores, scores[found.ords], rtol=1e-6)


def test_a_passage_without_a_common_term_is_no_candidate() -> None:
    passages = Weights.of_dense(np.eye(5, DIM, dtype=np.float32))
    queries = Weights.of_dense(np.eye(3, DIM, k=1, dtype=np.float32))
    assert [found.ords.tolist() for found in search(queries, passages, 5)] == [[1], [2], [3]]


def test_a_query_without_terms_finds_nothing() -> None:
    nothing = Weights.of_dense(np.zeros((2, DIM), np.float32))
    assert [len(found.ords) for found in search(nothing, rows(50, 20, 3), 5)] == [0, 0]


def test_tombstones_are_never_returned() -> None:
    live = np.random.default_rng(8).random(300) < 0.5
    for found in search(rows(5, 30, 6), rows(300, 60, 7), 300, live=live):
        assert set(found.ords.tolist()) <= set(np.flatnonzero(live).tolist())
        assert len(found.ords) > 100


def test_ties_go_to_the_lower_ord() -> None:
    passages = rows(3, 40, 3).take(np.random.default_rng(4).integers(0, 3, 900))
    for found in search(rows(5, 30, 5), passages, 400, shard=70):
        keys = list(zip((-found.scores).tolist(), found.ords.tolist(), strict=True))
        assert keys == sorted(keys)


def test_shards_and_batches_do_not_change_a_bit() -> None:
    queries, passages = rows(40, 10, 9), rows(1000, 40, 10)
    whole = search(queries, passages, 30, shard=1000)
    for shard in (1, 7, 256):
        for one, other in zip(whole, search(queries, passages, 30, shard=shard), strict=True):
            assert one.ords.tobytes() == other.ords.tobytes()
            assert one.scores.tobytes() == other.scores.tobytes()
    alone = [search(queries.part(n, n + 1), passages, 30)[0] for n in range(len(queries))]
    assert [one.scores.tobytes() for one in alone] == [one.scores.tobytes() for one in whole]


def test_a_weight_that_is_no_number_names_its_passage() -> None:
    passages = rows(50, 20, 3)
    passages.values[passages.starts[17]] = np.nan
    with pytest.raises(MsmError, match="passage 17 is NaN"):
        search(rows(2, 10, 1), passages, 5, shard=10)
