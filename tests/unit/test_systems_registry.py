"""The registry: every system of the reference file, in every spelling, and the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.errors import Conflict, InputError, NotFound
from services.store import Store
from services.systems.registry import Registry
from services.systems.system import System

REFERENCE_KEYS = [
    "bm25",
    "msmarco-distilbert-base-tas-b",
    "msmarco-distilbert-base-v3",
    "msmarco-MiniLM-L-6-v3",
    "distilbert-margin_mse-cls-dot-v1",
    "distilbert-margin_mse-cls-dot-v2",
    "distilbert-margin_mse-mean-dot-v1",
    "mpnet-margin_mse-mean-v1",
    "co-condenser-margin_mse-cls-v1",
    "distilbert-margin_mse-mnrl-mean-v1",
    "distilbert-margin_mse-sym_mnrl-mean-v1",
    "distilbert-margin_mse-sym_mnrl-mean-v2",
    "co-condenser-margin_mse-sym_mnrl-mean-v1",
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_all_thirteen_systems_of_the_reference_file_come_first_and_in_its_order(store: Store) -> None:
    assert [system.reference_key for system in Registry.load(store)][:13] == REFERENCE_KEYS


@pytest.mark.parametrize(
    ("spelt", "key"),
    [
        ("msmarco-MiniLM-L6-v3", "msmarco-MiniLM-L-6-v3"),
        ("msmarco-MiniLM-L-6-v3", "msmarco-MiniLM-L-6-v3"),
        ("all-MiniLM-L-6-v2", "all-MiniLM-L6-v2"),
        ("sentence-transformers/msmarco-distilbert-base-tas-b", "msmarco-distilbert-base-tas-b"),
        ("msmarco-distilbert-margin-mse-sym-mnrl-mean-v2", "distilbert-margin_mse-sym_mnrl-mean-v2"),
        ("co-condenser-margin-mse-cls-v1", "co-condenser-margin_mse-cls-v1"),
    ],
)
def test_a_name_resolves_in_the_spellings_of_hub_documentation_and_reference_file(
    store: Store, spelt: str, key: str
) -> None:
    assert Registry.load(store).get(spelt).reference_key == key


def test_dot_product_models_are_known_as_such(store: Store) -> None:
    registry = Registry.load(store)
    dots = ("msmarco-distilbert-base-tas-b", "msmarco-bert-base-dot-v5", "distilbert-margin_mse-mean-dot-v1")
    assert {registry.get(name).similarity for name in dots} == {"dot"}
    assert registry.get("all-MiniLM-L6-v2").similarity == "cosine"


def test_bm25_carries_its_parameters(store: Store) -> None:
    bm25 = Registry.load(store).get("bm25")
    assert (bm25.kind, bm25.k1, bm25.b) == ("bm25", 0.82, 0.68)


def test_never_published_systems_name_recipe_and_base(store: Store) -> None:
    trained = [system for system in Registry.load(store) if system.status == "trained"]
    assert len(trained) == 9
    assert all(system.recipe and system.base and not system.model for system in trained)


def test_an_unknown_name_gets_the_nearest_ones(store: Store) -> None:
    with pytest.raises(NotFound, match="near: msmarco-distilbert-base-tas-b"):
        Registry.load(store).get("tas-b")


def test_added_systems_come_last_and_outlive_the_process(store: Store) -> None:
    Registry.save(store, System(name="My.Encoder-1", similarity="dot"))
    registry = Registry.load(store)
    added = registry.get("my.encoder-1")
    assert [*registry][-1] == added
    assert (added.slug, added.reference_key) == ("my_encoder_1", "My.Encoder-1")
    assert not registry.is_builtin(added)


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "all_minilm_l6_v2", "ALL-MiniLM-L-6-v2"])
def test_a_name_that_reads_like_another_is_refused(store: Store, name: str) -> None:
    with pytest.raises(Conflict):
        Registry.save(store, System(name=name, similarity="dot"))
    with pytest.raises(Conflict):
        Registry.save(store, System(name=name, similarity="dot"), replace=name != "all-MiniLM-L6-v2")


def test_an_added_system_is_replaced_only_on_request(store: Store) -> None:
    Registry.save(store, System(name="mine", similarity="dot"))
    with pytest.raises(Conflict, match="exists already"):
        Registry.save(store, System(name="mine", similarity="cosine"))
    Registry.save(store, System(name="mine", similarity="cosine"), replace=True)
    assert Registry.load(store).get("mine").similarity == "cosine"


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"name": "x", "similarity": "dot", "poling": "cls"}, "poling"),
        ({"name": "x", "similarity": "euclidean"}, "similarity"),
        ({"name": "x"}, "similarity"),
        ({"name": "../x", "similarity": "dot"}, "name"),
        ({"name": "x", "similarity": "dot", "max_length": 0}, "max_length"),
        ({"name": "x", "similarity": "dot", "status": "trained"}, "recipe"),
    ],
)
def test_a_wrong_entry_says_which_key(entry: dict[str, object], complaint: str) -> None:
    with pytest.raises(InputError, match=f"here: .*{complaint}"):
        Registry.parse(entry, "here")
