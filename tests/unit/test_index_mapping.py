"""Names, mappings and provenance of index versions, without Elasticsearch."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.elastic import names
from services.elastic.mapping import ServedSystem, passages_body, queries_body
from services.elastic.terms import _pieces
from services.errors import InputError, UsageError
from services.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def served(similarity: str = "cosine", dims: int = 384) -> ServedSystem:
    return ServedSystem(name="A-b", slug="a_b", dims=dims, similarity=similarity, fingerprint="f", model="m")


def test_a_version_is_two_indices_behind_two_aliases(settings: Settings) -> None:
    assert names.passages_index(settings, "squad", 3) == "msm-squad-passages-v3"
    assert names.queries_index(settings, "squad", 3) == "msm-squad-queries-v3"
    assert names.passages_alias(settings, "squad") == "msm-squad"
    assert names.queries_alias(settings, "squad") == "msm-squad-queries"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("msm-squad-passages-v12", ("squad", "passages", 12)),
        ("msm-a-passages-b-queries-v1", ("a-passages-b", "queries", 1)),
        ("msm-squad-negatives-v2", ("squad", "negatives", 2)),
        ("msm-squad-passages-v0", None),
        ("msm-squad-passages-v1x", None),
        ("msm-jobs", None),
        ("other-squad-passages-v1", None),
    ],
)
def test_a_concrete_name_says_collection_kind_and_number(
    settings: Settings, name: str, parts: tuple[str, str, int] | None
) -> None:
    assert names.parse(settings, name) == parts


@pytest.mark.parametrize("text", ["3", "v3", "msm-squad-passages-v3"])
def test_a_version_may_be_written_in_three_ways(text: str) -> None:
    assert names.version_number(text) == 3


@pytest.mark.parametrize("text", ["", "v", "0", "latest", "-1", "3.5"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        names.version_number(text)


def test_bm25_has_the_parameters_and_the_analyzer_of_the_reference_runs() -> None:
    body = passages_body({}, [], "hnsw")
    assert body["settings"]["index"]["similarity"]["default"] == {"type": "BM25", "k1": 0.82, "b": 0.68}
    assert body["settings"]["index"]["sort"] == {"field": "ord", "order": "asc"}
    assert body["mappings"]["properties"]["text"] == {
        "type": "text",
        "analyzer": "passage",
        "index_options": "positions",
    }
    assert body["mappings"]["dynamic"] == "strict"


def test_metadata_is_mapped_by_its_type() -> None:
    fields = {"y": "integer", "k": "keyword", "f": "float", "d": "date", "b": "boolean"}
    meta = passages_body(fields, [], "hnsw")["mappings"]["properties"]["meta"]["properties"]
    assert {name: field["type"] for name, field in meta.items()} == {
        "y": "long",
        "k": "keyword",
        "f": "double",
        "d": "date",
        "b": "boolean",
    }


@pytest.mark.parametrize(("similarity", "mapped"), [("cosine", "cosine"), ("dot", "max_inner_product")])
@pytest.mark.parametrize("kind", ["hnsw", "int8_hnsw", "bbq_hnsw", "flat"])
def test_vectors_have_the_systems_similarity_and_an_explicit_index(
    similarity: str, mapped: str, kind: str
) -> None:
    properties = passages_body({}, [served(similarity)], kind)["mappings"]["properties"]
    field = properties["vectors"]["properties"]["a_b"]
    assert (field["similarity"], field["index_options"]["type"], field["dims"]) == (mapped, kind, 384)


def test_query_vectors_are_looked_up_never_searched() -> None:
    field = queries_body([served()])["mappings"]["properties"]["vectors"]["properties"]["a_b"]
    assert field == {"type": "dense_vector", "dims": 384, "index": False}


@pytest.mark.parametrize(
    "name", ["", "a.b", ".a", "a b", "a\n", "*", "x" * 101, "ä", "-a", 'a"', "a,b", "a\0"]
)
def test_hostile_field_names_are_refused_before_elasticsearch_sees_them(name: str) -> None:
    with pytest.raises(InputError):
        passages_body({name: "keyword"}, [], "hnsw")


@pytest.mark.parametrize(("dims", "kind"), [(4097, "hnsw"), (63, "bbq_hnsw")])
def test_vectors_that_elasticsearch_does_not_take_are_refused(dims: int, kind: str) -> None:
    with pytest.raises(InputError):
        passages_body({}, [served(dims=dims)], kind)


@pytest.mark.parametrize("text", ["word " * 5_000, "字" * 12_000, "a" * 5_001, " ", "x" * 4_999 + " tail"])
def test_a_long_text_is_cut_without_losing_a_character(text: str) -> None:
    pieces = list(_pieces(text))
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= 5_000
