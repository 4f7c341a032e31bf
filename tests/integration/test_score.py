"""Scoring through the real stack: mined by a worker, scored by a worker, and every command of the page."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder

from services.collections.collection import Collection
from services.scoring.scores import open_scores
from services.store import Store
from tests.conftest import ROOT, Stack
from tests.docs_kit import commands, validate
from tests.integration.conftest import MODEL, Sample
from tests.unit.tiny_ce import tiny_ce

TAS_B = "msmarco-distilbert-base-tas-b"


@pytest.fixture(scope="module")
def models(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of models, under the names that the page uses, in the sample's folder."""
    for name, style in (
        ("my-reranker", "bert"),
        ("ms-marco-MiniLM-L6-v2", "roberta"),
        ("my-decoder", "qwen"),
    ):
        tiny_ce(sample.folder / name, style, max_length=96)
    sample.msmctl("mine", "--collection", sample.name, "--system", f"bm25,{MODEL}", "--depth", "20")
    return sample.folder


@pytest.fixture
def ce(sample: Sample, models: Path, unique: str) -> str:
    """A cross-encoder of a name of its own: the stack's store may outlive the run."""
    sample.msmctl("ce", "add", f"ce-{unique}", "--model", "my-reranker")
    return f"ce-{unique}"


def test_a_worker_scores_each_pair_as_sentence_transformers_does(
    sample: Sample, stack: Stack, ce: str, models: Path
) -> None:
    asked = ["score", "--collection", sample.name, "--ce", ce, "--json"]
    planned = json.loads(sample.msmctl(*asked, "--dry-run"))
    validate("jobs-plan", planned)
    printed = json.loads(sample.msmctl(*asked))
    validate("jobs-outcome", printed)
    (outcome,) = printed
    result = outcome["result"]
    assert outcome["state"] == "succeeded"
    assert result["scored"] == result["unique"] == planned[0]["rows"] > 0
    collection = Collection.open(Store(stack.settings.store_url), sample.name)
    (block,) = open_scores(collection, ce).blocks()
    assert len(block.ords) == result["unique"]
    queries = collection.read_queries(0, collection.state.query_count, ["text"])["text"].to_pylist()
    texts = zip([queries[q] for q in block.qords], collection.texts_of(block.ords), strict=True)
    peer = CrossEncoder(str(models / "my-reranker"), device="cpu")
    expected = peer.predict(list(texts), activation_fn=torch.nn.Identity())
    assert np.abs(block.scores - expected).max() < 1e-5
    assert json.loads(sample.msmctl(*asked))[0]["state"] == "fresh"


def test_a_model_without_a_margin_gets_quantiles_to_choose_from(sample: Sample, ce: str) -> None:
    done = sample.run("score", "--collection", sample.name, "--ce", ce, "--top", "3")
    assert done.code == 0
    assert f"{ce} has no margin of its own" in done.stderr
    assert re.search(r"50% [+-]\d+\.\d\d", done.stderr)


def test_what_is_missing_is_said_with_the_command(sample: Sample, ce: str) -> None:
    unmined = sample.run(
        "score", "--collection", sample.name, "--ce", ce, "--split", "test", "--system", TAS_B
    )
    assert unmined.code == 7
    assert f"msmctl mine --collection {sample.name} --split test --system {TAS_B}" in unmined.stderr
    absent = sample.run("score", "--collection", sample.name, "--ce", "ms-marco-electra-base")
    assert absent.code == 7
    assert "msmctl ce pull ms-marco-electra-base" in absent.stderr
    assert sample.run("score", "--collection", sample.name, "--ce", ce, "--top", "5000").code == 2


def test_the_shapes_of_ce_are_the_documented_ones(sample: Sample, models: Path, unique: str) -> None:
    def printed(*arguments: str) -> object:
        return json.loads(sample.msmctl("ce", *arguments, "--json"))

    validate("ce", printed("add", f"shape-{unique}", "--model", "my-reranker"))
    validate("ce-list", printed("ls"))
    validate("ce", printed("show", "Qwen3-Reranker-0.6B"))
    validate("ce-pull", printed("pull", f"shape-{unique}", "--from", "my-reranker"))
    validate("ce-verify", printed("verify", f"shape-{unique}"))


def test_every_command_of_the_page_works(sample: Sample, models: Path, unique: str) -> None:
    own = {name: f"{name}-{unique}" for name in ("my-reranker", "my-decoder")}
    for command in commands(ROOT / "docs" / "score.md"):
        if "# needs " in command:
            continue
        words = [sample.name if word == "squad" else own.get(word, word) for word in shlex.split(command)]
        done = sample.run(*words[1:])
        assert done.code == 0, f"$ {command}\n{done.stdout}\n{done.stderr}"
