"""Sparse systems from text to hits: encode, index, gate, search, mine; what the API says of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.collections.collection import Collection
from services.elastic import versions
from services.encoding.encoder import load_encoder
from services.encoding.weights import Weights
from services.errors import CheckFailed, NotFound, UsageError
from services.jobs.kinds.encode import EncodeKind, EncodeSpec
from services.jobs.kinds.index import IndexKind
from services.jobs.kinds.mine import MineKind, MineSpec
from services.mining.retrieve import Target, exact_retriever, open_retriever
from services.stack.endpoints import endpoints
from services.store import Store
from services.systems.models import add
from services.systems.registry import Registry
from tests.conftest import Stack
from tests.integration.api_kit import Api
from tests.integration.conftest import Sample
from tests.integration.index_kit import QUERIES, Bench, passages
from tests.integration.test_inference import eventually
from tests.unit.tiny_model import masked_language_model, poisoned_head, with_terms

QUERY = "who runs the red river"
CLOSE = 1 / 128  # Elasticsearch keeps nine significant bits of a weight


@pytest.fixture(scope="module")
def bench(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(stack.settings, tmp_path_factory.mktemp("sparse"))
    yield made
    made.clean()


@pytest.fixture(scope="module")
def collection(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """300 passages, served with a sparse and a dense system."""
    systems = [bench.add_sparse_system("weighed"), bench.add_system("tiny")]
    made = bench.make(f"w{tmp_path_factory.mktemp('name').stat().st_ino}", passages(300))
    bench.build(made, *systems)
    return made


@pytest.fixture(scope="module")
def products(bench: Bench, collection: Collection) -> np.ndarray:
    """Of `QUERY` with every passage, by the encoder alone."""
    encoder = load_encoder(bench.store, Registry.load(bench.store).get("weighed"), bench.settings)
    query = encoder.encode([QUERY], "query")
    rows = encoder.encode(collection.passage_texts(0, 300), "passage")
    assert isinstance(query, Weights)
    assert isinstance(rows, Weights)
    made: np.ndarray = rows.dense() @ query.dense()[0]
    return made


def asked(bench: Bench, collection: Collection, query: str = QUERY, **more: Any) -> dict[str, Any]:
    return bench.search(collection.name, query, explain=True, **more).as_dict()


# -- search -----------------------------------------------------------------------------------------


def test_the_gate_compares_the_index_with_exact_products(bench: Bench, collection: Collection) -> None:
    meta = bench.served(collection.name).meta
    assert meta.systems["weighed"].kind == "sparse"
    assert meta.gate["terms weighed"]["passed"]
    assert meta.gate["terms weighed"]["recall@10"] >= 0.95


def test_mode_sparse_ranks_by_the_products_of_all_weights(
    bench: Bench, collection: Collection, products: np.ndarray
) -> None:
    answer = asked(bench, collection, mode="sparse", size=20)
    assert (answer["mode"], answer["degraded"]) == ("sparse", [])
    scores = [hit["score"] for hit in answer["hits"]]
    assert scores == pytest.approx(sorted(products, reverse=True)[:20], rel=CLOSE)
    assert scores == pytest.approx([products[hit["ord"]] for hit in answer["hits"]], rel=CLOSE)


def test_filters_hold_and_a_page_goes_on(bench: Bench, collection: Collection, products: np.ndarray) -> None:
    pages = [
        asked(bench, collection, mode="sparse", filters=["year<=1949"], size=10, **{"from": start})
        for start in (0, 10)
    ]
    found = [hit["ord"] for page in pages for hit in page["hits"]]
    assert len(set(found)) == 20
    assert max(found) < 50
    assert [products[ord_] for ord_ in found] == pytest.approx(sorted(products[:50])[::-1][:20], rel=CLOSE)


def test_hybrid_has_a_leg_of_every_served_system(
    bench: Bench, collection: Collection, products: np.ndarray
) -> None:
    answer = asked(bench, collection)
    assert (answer["mode"], answer["degraded"]) == ("hybrid", [])
    for hit in answer["hits"]:
        legs = hit["explain"]["legs"]
        assert set(legs) == {"bm25", "weighed", "tiny"}
        assert legs["weighed"]["score"] == pytest.approx(products[hit["ord"]], rel=CLOSE)


def test_systems_choose_among_them(bench: Bench, collection: Collection) -> None:
    for system in ("weighed", "tiny"):
        [hit] = asked(bench, collection, systems=[system], size=1)["hits"]
        assert set(hit["explain"]["legs"]) == {"bm25", system}


def test_a_stored_query_is_weighed_by_its_text(bench: Bench, collection: Collection) -> None:
    stored = asked(bench, collection, "", lookup="q3", mode="sparse")
    typed = asked(bench, collection, QUERIES["q3"], mode="sparse")
    both = asked(
        bench, collection, QUERY, lookup="q3", mode="sparse"
    )  # as of dense legs, the stored one counts
    scores = [[hit["score"] for hit in answer["hits"]] for answer in (stored, typed, both)]
    assert scores[0] == scores[1] == scores[2]
    assert scores[0] != [hit["score"] for hit in asked(bench, collection, mode="sparse")["hits"]]


def test_a_dense_leg_of_a_sparse_system_is_refused_with_what_there_is(
    bench: Bench, collection: Collection
) -> None:
    with pytest.raises(NotFound, match="does not serve 'weighed' as dense system") as refused:
        asked(bench, collection, legs=[{"type": "dense", "system": "weighed"}])
    assert refused.value.hint == "it is sparse: mode sparse, or a leg of type sparse"
    with pytest.raises(NotFound, match="does not serve 'tiny' as sparse system"):
        asked(bench, collection, mode="sparse", systems=["tiny"])


def test_where_nothing_sparse_is_served_mode_sparse_says_so(bench: Bench, unique: str) -> None:
    plain = bench.make(unique, passages(20))
    bench.build(plain, job=7)
    with pytest.raises(NotFound, match="serves no sparse system"):
        asked(bench, plain, mode="sparse")


@pytest.mark.parametrize("term", ["salt", "-1", "1.5", "01", " 1", "1_0", "١", "", "37", "9" * 5000])
def test_own_weights_are_by_token_id(bench: Bench, collection: Collection, term: str) -> None:
    leg = {"type": "sparse", "system": "weighed", "weights": {"5": 1.0, term: 1.0}}
    with pytest.raises(UsageError, match="is no token id of 'weighed', which are 0 to 36"):
        asked(bench, collection, legs=[leg])


@pytest.mark.parametrize("weight", [0, -1, 1e-300, 3.4e38, 1e308, float("inf"), float("nan")])
def test_own_weights_are_neither_nothing_nor_without_bound(
    bench: Bench, collection: Collection, weight: float
) -> None:
    with pytest.raises(UsageError, match=r"weights\.5"):
        asked(bench, collection, legs=[{"type": "sparse", "system": "weighed", "weights": {"5": weight}}])


# -- the index --------------------------------------------------------------------------------------


def test_a_rebuilt_index_keeps_the_served_sparse_system(bench: Bench, unique: str) -> None:
    made = bench.make(unique, passages(40))
    bench.build(made, "weighed", job=11)
    spec = bench.spec(made)
    assert IndexKind().fresh(bench.context, bench.spec(made, "weighed"))
    context = bench.job(12)
    result = IndexKind().finish(context, spec, bench.load(context, spec))
    assert (result["served"], result["systems"]) == (True, ["weighed"])
    assert versions.version(bench.client, bench.settings, unique).n == 2


def test_a_text_that_cannot_be_encoded_is_found_by_its_words(
    bench: Bench, tmp_path: Path, unique: str
) -> None:
    folder = poisoned_head(masked_language_model(tmp_path / "model"))
    system, _ = add(bench.store, "poisoned", str(folder), kind="sparse")
    rows = [{"pid": str(n), "text": text} for n, text in enumerate(["a cat", "poison", "a dog"])]
    made = bench.make(unique, rows, fields={})
    bench.build(made, system.name, job=13)
    assert {hit["pid"] for hit in asked(bench, made, "a cat", mode="sparse")["hits"]} == {"0", "2"}
    assert [hit["pid"] for hit in asked(bench, made, "poison", mode="bm25")["hits"]] == ["1"]
    late = asked(bench, made, "poison")  # nor can the query be encoded: BM25 answers alone
    assert [hit["pid"] for hit in late["hits"]] == ["1"]
    assert late["degraded"] == ["encode:poisoned:error"]


def test_an_index_in_which_no_text_was_encoded_is_not_served(
    bench: Bench, tmp_path: Path, unique: str
) -> None:
    folder = poisoned_head(masked_language_model(tmp_path / "model", seed=1))
    system, _ = add(bench.store, "mute", str(folder), kind="sparse")
    made = bench.make(unique, [{"pid": str(n), "text": "poison"} for n in range(3)], fields={})
    with pytest.raises(CheckFailed, match="terms mute: none of 12 queries finds a passage"):
        bench.build(made, system.name, job=14)
    spec = EncodeSpec(collection=unique, collection_version=1, system="mute")
    assert "but for 3 that cannot be encoded" in str(EncodeKind().fresh(bench.context, spec))


# -- mining -----------------------------------------------------------------------------------------


def test_elasticsearch_finds_what_exact_products_find(bench: Bench, collection: Collection) -> None:
    target = Target.of(collection, Registry.load(bench.store).get("weighed"))
    qords = np.arange(12, dtype=np.int32)
    exact = exact_retriever(bench.context, target).search(qords, 10)
    through = open_retriever(bench.context, target, "es").search(qords, 10)
    for one, other in zip(exact, through, strict=True):
        assert other.scores == pytest.approx(one.scores, rel=CLOSE)


@pytest.mark.parametrize("engine", ["exact", "es"])
def test_negatives_are_mined(bench: Bench, collection: Collection, engine: Any) -> None:
    [spec] = MineSpec.of_each(
        collection, ["weighed"], split="train", engine=engine, depth=10, all_queries=True
    )
    assert spec.engine == engine
    kind = MineKind()
    estimate = kind.measure(bench.context, spec)
    assert estimate.rows == 12
    receipts = [kind.run_chunk(bench.context, spec, chunk) for chunk in kind.plan(bench.context, spec)]
    result = kind.finish(bench.context, spec, receipts)
    assert result["candidates"] >= 120
    assert engine == "exact" or result["recall"] >= 0.9


# -- on the command line, and over HTTP --------------------------------------------------------------


@pytest.fixture(scope="module")
def sparse_sample(stack: Stack, sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A sparse system in the stack's own store."""
    folder = tmp_path_factory.mktemp("weighed")
    name = f"weighed-{folder.stat().st_ino}"
    model = with_terms(masked_language_model(folder / "model"))
    sample.msmctl("systems", "add", name, "--model", model)
    return name, model


def test_commands_take_it_as_any_other_system(sample: Sample, sparse_sample: tuple[str, Path]) -> None:
    name, _ = sparse_sample
    here = ("--collection", sample.name)
    assert '"kind": "sparse"' in sample.msmctl("systems", "show", name, "--json")
    sample.msmctl("systems", "verify", name)
    assert "bytes" in sample.msmctl("encode", "--system", name, *here, "--dry-run", "--json")
    sample.msmctl("mine", "--system", name, *here, "--split", "test", "--depth", "5")
    sample.msmctl("systems", "verify", name, *here)
    assert name in sample.msmctl("evaluate", "--system", name, *here, "--split", "test", "--json")


def test_tei_s_sparse_vectors_are_the_encoder_s(
    stack: Stack, sample: Sample, sparse_sample: tuple[str, Path]
) -> None:
    name, _ = sparse_sample
    texts = ["who runs the red river", "", "a cat sleeps"]
    api = Api(stack.settings, endpoints(stack.settings).api_url, sample.name)
    with api.client(api.key("embed")) as client:
        answer = client.post("/embed_sparse", json={"inputs": texts, "model": name})
        wrong = client.post("/embed", json={"inputs": texts, "model": name})
        # The list of what is installed is kept for some seconds.
        eventually(lambda: name in client.get("/info").json()["sparse_systems"])
    assert answer.status_code == 200, answer.text
    store = Store(stack.settings.store_url)
    own = load_encoder(store, Registry.load(store).get(name), stack.settings).encode(texts, "passage")
    assert isinstance(own, Weights)
    for n, row in enumerate(answer.json()):
        assert {str(one["index"]): one["value"] for one in row} == pytest.approx(own.by_term(n), abs=1e-6)
        assert [one["index"] for one in row] == sorted(one["index"] for one in row)
    assert wrong.status_code == 404
    assert "makes no vectors" in wrong.json()["detail"]
