"""A fixed random sample of a version's passages: what scores are to be seen against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from elasticsearch import AsyncElasticsearch

from services.deadline import Deadline
from services.elastic.errors import translated
from services.search.failures import in_time

SIZE = 256
"""Passages: a leg scores them exactly, in the trip that it makes for missing scores anyhow."""
_SEED = 20_260


@dataclass(frozen=True)
class Sample:
    """Sampled passages of an index.

    Attributes:
        passages: How many there are in all.
        ords: int32 [n], ascending; some may be of passages that are gone.
    """

    passages: int
    ords: npt.NDArray[np.int32]


async def sample_of(client: AsyncElasticsearch, index: str, deadline: Deadline) -> Sample:
    """The sample of an index: by its greatest ord alone, so that a rebuilt one has the same.

    Raises:
        NotFound: no such index. Unavailable: Elasticsearch is lost, or did not answer in time.
    """
    doing = f"sampling {index}"
    async with in_time(deadline, doing):
        with translated(doing):
            reply = await client.search(
                index=index,
                size=1,
                sort=[{"ord": "desc"}],
                source=False,
                docvalue_fields=[{"field": "ord"}],
                track_total_hits=True,
            )
    hits = reply["hits"]["hits"]
    return drawn(int(hits[0]["fields"]["ord"][0]) + 1 if hits else 0, reply["hits"]["total"]["value"])


def drawn(end: int, passages: int) -> Sample:
    """A sample of the ords below `end`."""
    ords = np.random.default_rng(_SEED).choice(end, min(SIZE, end), replace=False) if end else np.empty(0)
    return Sample(passages, np.sort(ords).astype(np.int32))
