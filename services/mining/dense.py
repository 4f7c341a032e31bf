"""Exact dense retrieval: a blockwise matrix product with a running top-k over memory-mapped shards.

The block shape is fixed: 256 queries by 4,096 passages, both padded with zeros. A matrix product of
another shape takes another kernel whose sums differ in the last bit, which would make results depend
on how work was cut. With one shape, the score of a pair is the same bits wherever the pair stands
(`tests/unit/test_dense.py` shuffles them), whatever the number of workers, threads and chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from services.errors import MsmError
from services.mining.blocks import Block, Blocks, Floats
from services.mining.ranking import Ords, Ranked
from services.mining.topk import RunningTopK
from services.models.torch_runtime import one_thread

QUERY_BLOCK = 256
PASSAGE_BLOCK = 4096
_QUERIES_PER_PASS = 4096


def compute_device(name: str) -> torch.device:
    """The device that a `device` setting means; `auto` takes CUDA where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def device_kind(device: torch.device) -> str:
    """What a run's bits depend on: `cpu`, or the name of the accelerator."""
    return "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)


class DenseRetriever:
    """All live passages ranked by the exact inner product (cosine systems store unit vectors).

    Args:
        queries: Query vectors by qord.
        passages: Passage vectors by ord.
        live: bool [passages], False for tombstones, which are never returned. Nor are zero vectors:
            they stand for passages that could not be encoded; a zero query has no candidates.
        device: Where the products run.
        memory_mb: What one pass may take, in MiB: query vectors, top-k and the block.
        beat: Called between blocks, so that a long pass shows life and can be stopped.
    """

    batch = _QUERIES_PER_PASS

    def __init__(
        self,
        queries: Blocks[Floats],
        passages: Blocks[Floats],
        live: npt.NDArray[np.bool_],
        *,
        device: torch.device,
        memory_mb: int = 512,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._queries = queries
        self._passages = passages
        self._live = live
        self._device = device
        self._bytes = memory_mb << 20
        self._beat = beat
        self.limit = int(live.sum())

    def search(self, qords: Ords, k: int) -> Sequence[Ranked]:
        """The best `min(k, live passages)` of each query."""
        k = min(k, self.limit)
        if not k:
            return [Ranked(np.empty(0, np.int32), np.empty(0, np.float32)) for _ in qords]
        results: list[Ranked] = []
        start = 0
        while start < len(qords):
            vectors = self._queries.take(qords[start : start + self.batch])
            rows = self._rows_per_pass(vectors.shape[1], k)
            vectors = vectors[:rows]
            results += top_k(vectors, self._passages.blocks(), self._live, k, self._device, self._beat)
            start += len(vectors)
        return results

    def facts(self) -> dict[str, Any]:
        """The device kind."""
        return {"device": device_kind(self._device)}

    def _rows_per_pass(self, dim: int, k: int) -> int:
        block = PASSAGE_BLOCK * dim * 4 + QUERY_BLOCK * (PASSAGE_BLOCK * 17 + k * 24)
        rows = (self._bytes - block) // (dim * 4 + k * 16)
        return max(1, rows if rows < QUERY_BLOCK else rows // QUERY_BLOCK * QUERY_BLOCK)


def top_k(
    queries: Floats,
    passages: Iterable[Block],
    live: npt.NDArray[np.bool_],
    k: int,
    device: torch.device,
    beat: Callable[[], None] = lambda: None,
) -> list[Ranked]:
    """The best `k` live passages of each query by inner product.

    Args:
        queries: float32 [n, dim].
        passages: `(lo, hi, float32 [hi - lo, dim])`, any ranges of ords, each at most once.
        live: bool [number of ords].
        k: How many; fewer come back only where there are fewer live passages.
        device: Where to compute.
        beat: Called once per block of 4,096 passages.

    Raises:
        MsmError: a vector holds NaN or infinity.
    """
    torch.set_float32_matmul_precision("highest")  # no TF32, no bfloat16: the scores are what they say
    best = RunningTopK(len(queries), k, device)
    tiles = [
        _padded(queries[at : at + QUERY_BLOCK], QUERY_BLOCK, device)
        for at in range(0, len(queries), QUERY_BLOCK)
    ]
    scores = torch.empty((QUERY_BLOCK, PASSAGE_BLOCK), device=device)
    for lo, block in _even_blocks(passages):
        columns = np.zeros(PASSAGE_BLOCK, np.bool_)
        columns[: len(block)] = live[lo : lo + len(block)] & _encoded(block, lo)
        counts = torch.from_numpy(columns).to(device)
        matrix = _padded(block, PASSAGE_BLOCK, device)
        for n, tile in enumerate(tiles):
            first = n * QUERY_BLOCK
            torch.mm(tile, matrix.T, out=scores)
            with one_thread():
                best.offer(first, scores[: len(queries) - first], lo, counts)
        beat()
    return [
        found if asked else Ranked(found.ords[:0], found.scores[:0])
        for found, asked in zip(best.results(), (queries != 0).any(axis=1), strict=True)
    ]


def _encoded(block: Floats, lo: int) -> npt.NDArray[np.bool_]:
    """Per row, whether it is a vector (not zero); MsmError where it holds NaN or infinity."""
    squares = np.einsum("ij,ij->i", block, block)
    if not np.isfinite(squares).all():
        raise MsmError(
            f"the vector of passage {lo + int(np.isfinite(squares).argmin())} holds NaN or infinity",
            hint="`msmctl encode --force` makes it anew; check the model",
        )
    return np.asarray(squares > 0)


def _even_blocks(passages: Iterable[Block]) -> Iterator[tuple[int, Floats]]:
    """Blocks of at most `PASSAGE_BLOCK` rows."""
    for lo, hi, vectors in passages:
        for at in range(0, hi - lo, PASSAGE_BLOCK):
            yield lo + at, vectors[at : at + PASSAGE_BLOCK]


def _padded(rows: Floats, length: int, device: torch.device) -> torch.Tensor:
    padded = np.zeros((length, rows.shape[1]), np.float32)
    padded[: len(rows)] = rows
    return torch.from_numpy(padded).to(device)
