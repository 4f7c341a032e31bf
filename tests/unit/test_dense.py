"""Exact dense retrieval: right, the same bits however work is cut, bounded in memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from services.errors import MsmError
from services.mining.blocks import Block, Floats
from services.mining.dense import PASSAGE_BLOCK, DenseRetriever, top_k
from services.mining.ranking import Ords
from services.mining.topk import RunningTopK, pack, unpack

CPU = torch.device("cpu")


class Table:
    """Vectors in memory, in shards of any size."""

    def __init__(self, vectors: Floats, shard: int = PASSAGE_BLOCK) -> None:
        self.vectors = vectors
        self.shard = shard

    def blocks(self) -> Iterator[Block]:
        for lo in range(0, len(self.vectors), self.shard):
            part = self.vectors[lo : lo + self.shard]
            yield lo, lo + len(part), part

    def take(self, positions: Ords) -> Floats:
        return self.vectors[positions]


def unit(rows: int, dim: int, seed: int) -> Floats:
    vectors = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def search(queries: Floats, passages: Floats, k: int, live: np.ndarray | None = None, **options: object):
    everything = np.ones(len(passages), bool) if live is None else live
    retriever = DenseRetriever(Table(queries), Table(passages), everything, device=CPU, **options)
    return retriever.search(np.arange(len(queries), dtype=np.int32), k)


def test_finds_what_a_full_sort_in_float64_finds():
    queries, passages = unit(40, 48, 1), unit(9000, 48, 2)
    true = queries.astype(np.float64) @ passages.astype(np.float64).T
    for row, found in enumerate(search(queries, passages, 20)):
        assert found.ords.tolist() == np.argsort(-true[row], kind="stable")[:20].tolist()
        np.testing.assert_allclose(found.scores, true[row][found.ords], atol=1e-6)


def test_ties_go_to_the_lower_ord():
    passages = np.repeat(unit(3, 16, 3), 3000, axis=0)
    passages = passages[np.random.default_rng(4).permutation(9000)]
    found = search(unit(5, 16, 5), passages, 4000)
    for ranked in found:
        keys = list(zip((-ranked.scores).tolist(), ranked.ords.tolist(), strict=True))
        assert keys == sorted(keys)


def test_tombstones_are_never_returned():
    queries, passages = unit(3, 8, 6), unit(500, 8, 7)
    live = np.random.default_rng(8).random(500) < 0.5
    for ranked in search(queries, passages, 500, live):
        assert sorted(ranked.ords.tolist()) == np.flatnonzero(live).tolist()


def test_more_than_there_are_gives_all_there_are():
    assert [len(ranked.ords) for ranked in search(unit(2, 8, 1), unit(7, 8, 2), 50)] == [7, 7]
    assert [len(ranked.ords) for ranked in search(unit(1, 8, 1), unit(7, 8, 2), 5, np.zeros(7, bool))] == [0]


def test_the_place_in_a_block_does_not_change_a_bit():
    queries, passages = unit(700, 384, 9), unit(5000, 384, 10)
    order = np.random.default_rng(11).permutation(700)
    straight = search(queries, passages, 30)
    shuffled = search(queries[order], passages, 30)
    for place, query in enumerate(order):
        assert straight[query].scores.tobytes() == shuffled[place].scores.tobytes()
        assert straight[query].ords.tobytes() == shuffled[place].ords.tobytes()
    alone = search(queries[13:14], passages, 30)[0]
    assert alone.scores.tobytes() == straight[13].scores.tobytes()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_and_memory_do_not_change_a_bit(threads):
    queries, passages = unit(300, 64, 12), unit(6000, 64, 13)
    wide = search(queries, passages, 100)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        narrow = search(queries, passages, 100, memory_mb=20)
    finally:
        torch.set_num_threads(before)
    assert [r.scores.tobytes() for r in wide] == [r.scores.tobytes() for r in narrow]
    assert [r.ords.tobytes() for r in wide] == [r.ords.tobytes() for r in narrow]


def test_a_shorter_list_is_the_head_of_a_longer_one():
    queries, passages = unit(20, 32, 14), unit(6000, 32, 15)
    for short, long in zip(search(queries, passages, 10), search(queries, passages, 500), strict=True):
        assert short.ords.tolist() == long.ords[:10].tolist()


def test_a_vector_that_is_no_number_is_an_error():
    passages = unit(100, 8, 16)
    passages[40, 3] = np.nan
    with pytest.raises(MsmError, match="NaN or infinity"):
        search(unit(1, 8, 1), passages, 5)


def test_keys_order_as_scores_do():
    scores = torch.tensor([-3.5, -1e-30, -0.0, 0.0, 1e-30, 2.0, torch.inf, -torch.inf])
    ords = torch.arange(len(scores))
    keys = pack(scores, ords)
    back, same = unpack(keys)
    assert torch.equal(back, scores + 0.0)
    assert torch.equal(same, ords)
    assert keys.argsort(descending=True).tolist() == [6, 5, 4, 2, 3, 1, 0, 7]


def test_blocks_may_come_in_any_order():
    scores = torch.from_numpy(np.random.default_rng(17).integers(0, 20, (4, 3000)).astype(np.float32))
    live = torch.ones(1000, dtype=torch.bool)
    results = []
    for order in ([0, 1, 2], [2, 0, 1]):
        best = RunningTopK(4, 50, CPU)
        for block in order:
            best.offer(0, scores[:, block * 1000 : block * 1000 + 1000], block * 1000, live)
        results.append([(r.ords.tolist(), r.scores.tolist()) for r in best.results()])
    assert results[0] == results[1]


def test_life_is_shown_once_per_block():
    beats: list[None] = []
    top_k(
        unit(2, 8, 1),
        Table(unit(10000, 8, 2)).blocks(),
        np.ones(10000, bool),
        3,
        CPU,
        lambda: beats.append(None),
    )
    assert len(beats) == 3
