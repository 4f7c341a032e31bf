"""The job that scores: every pair once, by one content of a model, whatever crashes on the way."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder
from small_collection import make, update
from small_runs import save_run
from tiny_ce import SENTENCES, tiny_ce

from services.cross_encoders.models import add, pull
from services.errors import Conflict, InputError, NotFound, UsageError
from services.jobs.kind import Context
from services.jobs.kinds import score as kind_module
from services.jobs.kinds.score import ScoreKind, ScoreSpec
from services.negatives.marks import Mark, Marks
from services.negatives.verdicts import Verdict
from services.scoring.identity import scored_by
from services.scoring.scores import open_scores
from services.scoring.select import Wanted
from services.settings import Settings

KIND = ScoreKind()
TAS_B = "msmarco-distilbert-base-tas-b"
PASSAGES = {f"p{n}": f"{SENTENCES[n % 5]} Part {n}." for n in range(12)}
QUERIES = {f"q{n}": f"what of {n}, {SENTENCES[n % 5][:20]}" for n in range(6)}
QRELS = [(f"q{n}", f"p{n}", 1) for n in range(5)]  # q5 has no positive


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return tiny_ce(tmp_path_factory.mktemp("ce"), "bert")


@pytest.fixture
def collection(tmp_path):
    made = make(tmp_path, passages=PASSAGES, queries={"train": QUERIES}, qrels={"train": QRELS})
    save_run(made, "bm25", {f"q{n}": [f"p{(n + m) % 12}" for m in range(4)] for n in range(6)})
    save_run(made, TAS_B, {f"q{n}": [f"p{(n + 2 + m) % 12}" for m in range(4)] for n in range(6)})
    return made


@pytest.fixture
def context(collection, tmp_path):
    def no_client():
        raise AssertionError("scoring asks nothing of Elasticsearch")

    settings = Settings(home=tmp_path, device="cpu", threads=1)
    return Context(settings=settings, store=collection.store, elastic=no_client)


@pytest.fixture
def ce(collection, model):
    return add(collection.store, "ce-tiny", str(model))


def spec_for(collection, ce, **asked):
    return ScoreSpec(
        collection=collection.name, collection_version=collection.state.version, ce=ce[0].name,
        fingerprint=scored_by(*ce).fingerprint, split="train", **asked,
    )  # fmt: skip


def run(context, spec):
    """Plan, do and finish a job, as an executor does; receipts and result."""
    receipts = [KIND.run_chunk(context, spec, chunk) for chunk in KIND.plan(context, spec)]
    return receipts, KIND.finish(context, spec, receipts)


def pairs_of(scores, collection):
    pids = list(PASSAGES)
    return {
        (collection.qids[q], pids[p]): float(s)
        for block in scores.blocks()
        for q, p, s in zip(*block, strict=True)
    }


def test_every_candidate_and_positive_is_scored_once_with_the_raw_logit(context, collection, ce, model):
    _, result = run(context, spec_for(collection, ce))
    # 5 queries; two runs of 4 that overlap in 2, the positive is among bm25's: 5 * 6 distinct pairs
    assert {key: result[key] for key in ("asked", "unique", "already", "scored", "dead")} == {
        "asked": 45, "unique": 30, "already": 0, "scored": 30, "dead": 0,
    }  # fmt: skip
    found = pairs_of(open_scores(collection), collection)
    wanted = {(f"q{n}", f"p{(n + m) % 12}") for n in range(5) for m in range(6)}
    assert set(found) == wanted
    peer = CrossEncoder(str(model), device="cpu")
    ordered = sorted(wanted)
    texts = [(QUERIES[q], PASSAGES[p]) for q, p in ordered]
    expected = peer.predict(texts, activation_fn=torch.nn.Identity())
    assert np.abs(np.array([found[pair] for pair in ordered]) - expected).max() < 1e-5


def test_what_people_call_positive_is_scored_though_no_system_returned_it(context, collection, ce):
    marks = Marks(collection, [
        Mark("q0", "p11", Verdict.POSITIVE, "answers it"), Mark("q5", "p0", Verdict.POSITIVE, "so does this"),
        Mark("q1", "p11", Verdict.KEEP, "about something else"),
    ])  # fmt: skip
    spec = ScoreSpec.of(collection, "ce-tiny", ["bm25"], marks, split="train", top=1)
    _, result = run(context, spec)
    found = set(pairs_of(open_scores(collection), collection))
    assert found == {*((f"q{n}", f"p{n}") for n in range(6)), ("q0", "p11"), ("q5", "p0")}
    assert result["unique"] == len(found)
    drawn = ScoreSpec.of(collection, "ce-tiny", ["bm25"], marks, split="train", top=1, queries=5)
    assert "q5" not in {collection.qids[qord] for qord in Wanted(collection, drawn.asked).qords}


def test_what_is_scored_is_fresh_and_more_is_only_what_is_missing(context, collection, ce):
    run(context, spec_for(collection, ce, top=2))
    assert KIND.fresh(context, spec_for(collection, ce, top=2)) == "20 pairs are scored already"
    assert KIND.fresh(context, spec_for(collection, ce, top=1)) == "10 pairs are scored already"
    everything = spec_for(collection, ce)
    assert KIND.fresh(context, everything) is None
    cost = KIND.estimate(context, everything)
    assert (cost.queries, cost.pairs, cost.unique_pairs, cost.rows) == (5, 45, 30, 10)
    _, result = run(context, everything)
    assert (result["already"], result["scored"]) == (20, 10)
    assert open_scores(collection).pairs == open_scores(collection).rows == 30
    assert KIND.plan(context, everything) == []


def test_some_systems_and_all_queries(context, collection, ce):
    run(context, spec_for(collection, ce, systems=("bm25",), all_queries=True))
    assert set(pairs_of(open_scores(collection), collection)) == {
        (f"q{n}", f"p{(n + m) % 12}") for n in range(6) for m in range(4)
    }


def test_a_draw_of_queries_is_the_same_again_and_within_a_larger_one(context, collection, ce):
    def drawn(count, seed):
        from services.scoring.select import Asked, Wanted

        return Wanted(collection, Asked("train", queries=count, seed=seed)).qords.tolist()

    assert drawn(3, 1) == drawn(3, 1)
    assert set(drawn(2, 1)) < set(drawn(3, 1))
    assert drawn(5, 1) == drawn(99, 1) == [0, 1, 2, 3, 4]
    assert len({tuple(drawn(2, seed)) for seed in range(10)}) > 1


def cut_small(monkeypatch):
    monkeypatch.setattr(kind_module, "_CHUNK_FLOPS", {"cpu": 3e7})


def test_chunks_cover_all_queries_and_give_the_scores_of_one(context, collection, ce, monkeypatch):
    spec = spec_for(collection, ce)
    run(context, spec)
    whole = pairs_of(open_scores(collection), collection)
    collection.store.remove(f"collections/{collection.name}/scores")
    cut_small(monkeypatch)
    chunks = KIND.plan(context, spec)
    assert len(chunks) > 1
    assert (chunks[0].lo, chunks[-1].hi) == (0, 5)
    assert all(a.hi == b.lo for a, b in pairwise(chunks))
    run(context, spec)
    again = pairs_of(open_scores(collection), collection)
    assert again.keys() == whole.keys()
    assert max(abs(again[pair] - whole[pair]) for pair in whole) < 1e-6


def test_a_chunk_that_runs_again_scores_nothing_twice(context, collection, ce, monkeypatch):
    cut_small(monkeypatch)
    spec = spec_for(collection, ce)
    first, *others = KIND.plan(context, spec)
    assert KIND.run_chunk(context, spec, first).rows > 0  # and its worker dies before it can say so
    again = KIND.run_chunk(context, spec, first)
    assert (again.rows, again.facts["already"]) == (0, again.facts["unique"])
    receipts = [again, *(KIND.run_chunk(context, spec, chunk) for chunk in others)]
    KIND.finish(context, spec, receipts)
    assert open_scores(collection).pairs == open_scores(collection).rows == 30


def test_what_a_cancelled_job_has_done_counts(context, collection, ce, monkeypatch):
    cut_small(monkeypatch)
    spec = spec_for(collection, ce)
    done = KIND.run_chunk(context, spec, KIND.plan(context, spec)[0]).rows
    cost = KIND.estimate(context, spec)
    assert (cost.unique_pairs or 0) - cost.rows == done


def test_forced_scores_are_made_anew(context, collection, ce):
    run(context, spec_for(collection, ce))
    _, result = run(context, spec_for(collection, ce, nonce="again"))
    assert (result["already"], result["scored"]) == (0, 30)
    assert open_scores(collection).pairs == 30


def test_another_content_of_the_model_has_scores_of_its_own(context, collection, ce, tmp_path):
    run(context, spec_for(collection, ce))
    before = open_scores(collection, "ce-tiny")
    other = pull(collection.store, ce[0], str(tiny_ce(tmp_path / "other", "bert", seed=5)))
    with pytest.raises(Conflict, match="another model of 'ce-tiny' was pulled"):
        KIND.plan(context, spec_for(collection, ce))
    with pytest.raises(NotFound, match="earlier model of 'ce-tiny' only"):
        open_scores(collection, "ce-tiny")
    assert open_scores(collection, f"ce-tiny@{before.fingerprint[:12]}").pairs == 30
    run(context, spec_for(collection, (ce[0], other)))
    assert open_scores(collection, "ce-tiny").fingerprint == scored_by(ce[0], other).fingerprint
    assert open_scores(collection).fingerprint != before.fingerprint


def test_removed_passages_are_not_scored(context, collection, ce, tmp_path):
    grown = update(tmp_path, delete=["p1"], passages={"new": "a new passage"})
    run(context, spec_for(grown, ce))
    assert "p1" not in {pid for _, pid in pairs_of(open_scores(grown), grown)}


def test_what_was_not_mined_names_the_command_that_mines_it(context, collection, ce):
    with pytest.raises(NotFound) as missing:
        KIND.fresh(context, spec_for(collection, ce, systems=("all-MiniLM-L6-v2",)))
    assert missing.value.hint == "msmctl mine --collection small --split train --system all-MiniLM-L6-v2"
    with pytest.raises(UsageError, match="was mined to depth 50, not 60"):
        KIND.fresh(context, spec_for(collection, ce, top=60))


def test_a_split_without_positives_is_refused(context, tmp_path, ce, collection):
    grown = update(tmp_path, queries={"dev": {"d1": "who"}})
    save_run(grown, "bm25", {"d1": ["p1"]}, split="dev")
    spec = spec_for(grown, ce).model_copy(update={"split": "dev"})
    with pytest.raises(InputError, match="no query with a positive"):
        KIND.fresh(context, spec)


def test_runs_that_change_under_the_job_are_noticed(context, collection, ce):
    spec = spec_for(collection, ce)
    receipts = [KIND.run_chunk(context, spec, chunk) for chunk in KIND.plan(context, spec)]
    save_run(collection, "bm25", {"q0": ["p11", "p10", "p9"]}, folder="anew", forced=True)
    with pytest.raises(Conflict, match="3 pairs have no score"):
        KIND.finish(context, spec, receipts)
    _, result = run(context, spec)
    assert result["scored"] == 3


def test_margin_quantiles_are_given_for_a_model_without_a_margin(context, collection, ce):
    _, result = run(context, spec_for(collection, ce))
    found = pairs_of(open_scores(collection), collection)
    positives = {qid: found[qid, pid] for qid, pid, _ in QRELS}
    margins = [positives[qid] - score for (qid, pid), score in found.items() if (qid, pid, 1) not in QRELS]
    assert result["margin"] is None
    assert result["margins"]["50%"] == pytest.approx(np.median(margins), abs=1e-4)
    assert list(result["margins"]) == ["1%", "5%", "10%", "25%", "50%", "75%", "90%"]


def test_a_model_with_a_margin_needs_no_quantiles(context, collection, model):
    own = add(collection.store, "with-margin", str(model), margin=2.5)
    _, result = run(context, spec_for(collection, own))
    assert (result["margin"], result["margins"]) == (2.5, None)


def test_a_pair_that_cannot_be_computed_is_a_dead_row_and_not_tried_again(
    context, collection, model, tmp_path
):
    import shutil

    from safetensors.torch import load_file, save_file
    from transformers import AutoTokenizer

    folder = shutil.copytree(model, tmp_path / "poisoned")
    weights = load_file(folder / "model.safetensors")
    tokenizer = AutoTokenizer.from_pretrained(model)
    others = [text for n, text in enumerate(SENTENCES) if n != 3] + list(QUERIES.values())
    common = {token for text in others for token in tokenizer(f"{text} Part 0123456789.")["input_ids"]}
    only = next(token for token in tokenizer(SENTENCES[3])["input_ids"] if token not in common)
    weights["bert.embeddings.word_embeddings.weight"][only] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    own = add(collection.store, "poisoned", str(folder))
    receipts, result = run(context, spec_for(collection, own))
    dead = {row.row for receipt in receipts for row in receipt.dead}
    assert dead
    assert {row.split()[1] for row in dead} == {"p3", "p8"}  # the passages that say so
    assert result["dead"] == len(dead)
    assert len(pairs_of(open_scores(collection), collection)) == 30 - len(dead)
    assert KIND.fresh(context, spec_for(collection, own)) == "30 pairs are scored already"


def test_less_memory_gives_the_same_scores(context, collection, ce):
    spec = spec_for(collection, ce)
    run(context, spec)
    before = pairs_of(open_scores(collection), collection)
    context.batch_scale = 0.1
    run(context, spec_for(collection, ce, nonce="small"))
    after = pairs_of(open_scores(collection), collection)
    assert max(abs(after[pair] - before[pair]) for pair in before) < 1e-6


def test_the_estimate_knows_the_speed_once_something_was_scored(context, collection, ce):
    assert KIND.estimate(context, spec_for(collection, ce)).seconds is None
    run(context, spec_for(collection, ce, top=1))
    assert (KIND.estimate(context, spec_for(collection, ce)).seconds or 0) > 0


def test_the_result_is_small_json(context, collection, ce):
    assert len(json.dumps(run(context, spec_for(collection, ce))[1])) < 1000
