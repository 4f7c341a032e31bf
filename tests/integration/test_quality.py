"""Rankings on the shared collections equal what independent computations and published values say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import ir_measures
import numpy as np
import pytest
from elasticsearch import Elasticsearch
from ir_measures import AP, R, nDCG

from services.collections.collection import Collection
from services.elastic.client import connect
from services.elastic.msearch import bm25
from services.store import Store
from tests.conftest import DATA, Stack
from tests.integration.conftest import MODEL, Shell
from tests.integration.lucene_bm25 import Bm25, kept_length

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@dataclass(frozen=True)
class Dl19:
    """TREC DL 2019 on its 14,581 passages, indexed."""

    shell: Shell
    client: Elasticsearch
    collection: Collection
    index: str


@pytest.fixture(scope="module")
def dl19(stack: Stack, shell: Shell) -> Iterator[Dl19]:
    folder = DATA / "msmarco-dl19"
    if not folder.is_dir():
        pytest.skip(f"no {folder}: the shared data are not on this machine")
    judged = ["--queries", f"test={folder / 'queries.tsv'}", "--qrels", f"test={folder / 'qrels.txt'}"]
    passages = folder / "collection.tsv.gz"
    shell.msmctl("collection", "import", "dl19", "--passages", passages, *judged, "--min-rel", "2")
    shell.msmctl("index", "build", "--collection", "dl19", "--system", "bm25")
    index = json.loads(shell.msmctl("index", "ls", "--collection", "dl19", "--json"))[-1]["passages_index"]
    collection = Collection.open(Store(stack.settings.store_url), "dl19")
    yield Dl19(shell, connect(stack.settings), collection, index)
    shell.msmctl("collection", "rm", "dl19", "--yes")


def tokens(client: Elasticsearch, index: str, texts: list[str], batch: int = 60) -> list[list[str]]:
    """Each text's tokens by `_analyze`, many texts a request; offsets run on over the texts, one apart."""
    found: list[list[str]] = []
    for at in range(0, len(texts), batch):
        some = texts[at : at + batch]
        ends = np.cumsum([len(text.encode("utf-16-le")) // 2 + 1 for text in some])
        lists: list[list[str]] = [[] for _ in some]
        for token in client.indices.analyze(index=index, field="text", text=some)["tokens"]:
            lists[int(np.searchsorted(ends, token["start_offset"], side="right"))].append(token["token"])
        found += lists
    return found


def test_lengths_are_rounded_as_lucene_rounds_them() -> None:
    # Worked by hand from SmallFloat.java: exact below 40, then steps of 2, 4, 8 …
    assert [kept_length(n) for n in (0, 1, 39, 40, 41, 42, 56, 59, 100, 1000)] == [
        0, 1, 39, 40, 40, 42, 56, 56, 96, 984,
    ]  # fmt: skip


def test_bm25_ranks_as_lucenes_formula_does(dl19: Dl19) -> None:
    collection, queries = dl19.collection, dl19.collection.queries("test")
    model = Bm25(tokens(dl19.client, dl19.index, collection.passage_texts(0, collection.passage_count)))
    asked = tokens(dl19.client, dl19.index, queries.texts)
    overlap = []
    for words, (ords, scores) in zip(asked, bm25(dl19.client, dl19.index, queries.texts, 10, 2), strict=True):
        expected = model.scores(words)
        assert scores == pytest.approx(expected[ords], rel=1e-5)
        best = np.lexsort((np.arange(model.size), -expected))[:10]
        overlap.append(len(np.intersect1d(best, ords)) / 10)
    assert len(overlap) == 43
    assert np.mean(overlap) >= 0.99


@pytest.mark.parametrize(
    ("name", "published"), [("bm25-anserini-k0.9-b0.4", 0.5058), ("tas-b", 0.7210), ("splade-pp-ed", 0.7308)]
)
def test_a_published_run_has_its_published_value(dl19: Dl19, name: str, published: float) -> None:
    """Half of the judged passages were not shipped; the values count them all the same."""
    folder = DATA / "msmarco-dl19"
    run = list(ir_measures.read_trec_run(str(folder / "runs" / f"{name}.trec")))
    measures = [nDCG @ 10, AP(rel=2) @ 100, R(rel=2) @ 100]
    judged = list(ir_measures.read_trec_qrels(str(folder / "qrels.txt")))
    expected = ir_measures.calc_aggregate(measures, judged, run)
    asked = ["--measure", "nDCG@10", "--measure", "AP@100", "--measure", "R@100"]  # min_rel: rel=2
    found = dl19.shell.evaluate("dl19", "--run", folder / "runs" / f"{name}.trec", *asked)
    assert list(found.values()) == pytest.approx([expected[one] for one in measures], abs=1e-9)
    assert found["nDCG@10"] == pytest.approx(published, abs=5e-5)


def test_dense_on_squad_has_the_known_mrr_exact_and_through_the_index(squad_mined: Shell) -> None:
    exact = squad_mined.evaluate("squad", "--system", MODEL, "--measure", "RR@10")["RR@10"]
    assert exact == pytest.approx(0.744, abs=0.005)
    through = squad_mined.evaluate("squad", "--system", MODEL, "--measure", "RR@10", "--engine", "es")[
        "RR@10"
    ]
    assert through == pytest.approx(exact, abs=0.005)
