"""Filters: what each keeps, how they are written, and what they never do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_collection import make
from small_runs import save_run
from small_scores import ELECTRA, MINILM, save_scores

from services.errors import NotFound, UsageError
from services.negatives.filters.parse import parse_filter, parse_relabel
from services.negatives.filters.registry import FILTERS, help_of
from services.negatives.marks import Mark, Marks
from services.negatives.opening import Asked, open_negatives
from services.negatives.selection import Selection
from services.negatives.tally import Tally
from services.negatives.verdicts import Verdict, why

V3 = "msmarco-distilbert-base-v3"
TAS_B = "msmarco-distilbert-base-tas-b"
PIDS = [f"p{n}" for n in range(9)]
TEXTS = ["moon", "tide", "salt", "rain", "dew", "frost", "hail", "thunder", "lightning"]
RANKED = {
    "bm25": {"q": ["p0", "p2", "p3", "p4", "p5"], "r": ["p8", "p2"]},
    TAS_B: {"q": ["p3", "p1", "p2", "p6", "p7"], "r": ["p2", "p8", "p0"]},
}
SCORES = {
    ("q", "p0"): 9.0, ("q", "p1"): 5.0,  # the positives of q
    ("q", "p2"): 1.0, ("q", "p3"): 2.0, ("q", "p4"): 4.5, ("q", "p5"): -8.0, ("q", "p6"): 7.0,
    ("r", "p2"): 0.0,  # its positive is not scored
}  # fmt: skip


@pytest.fixture
def collection(tmp_path):
    collection = make(tmp_path, passages=dict(zip(PIDS, TEXTS, strict=True)),
                      queries={"train": {"q": "why", "r": "how"}},
                      qrels={"train": [("q", "p0", 1), ("q", "p1", 1), ("r", "p8", 1)]})  # fmt: skip
    for system, ranked in RANKED.items():
        save_run(collection, system, ranked)
    save_scores(collection, SCORES)
    return collection


def left(collection, *filters, qid="q", **asked):
    """Per system, the pids of the negatives of a query, in order."""
    opened = open_negatives(collection, Asked("train", filters=filters, **asked))
    block = opened.candidates.of(collection.qords_of([qid]))
    kept = opened.selection.keep(block)
    return {
        system.name: collection.pids_of(block.ords[block.by_system(kept, n)[0]])
        for n, system in enumerate(block.systems)
    }


def test_without_filters_all_but_positives_are_left(collection):
    assert left(collection) == {"bm25": ["p2", "p3", "p4", "p5"], TAS_B: ["p3", "p2", "p6", "p7"]}


def test_the_margin_counts_from_the_lowest_positive(collection):
    # The lowest positive has 5: 2 is 3 below and not more, so it goes. p7 is not scored.
    assert left(collection, "ce-margin=3") == {"bm25": ["p2", "p5"], TAS_B: ["p2"]}
    assert left(collection, "ce-margin=2.9") == {"bm25": ["p2", "p3", "p5"], TAS_B: ["p3", "p2"]}


def test_the_margin_of_the_cross_encoder_is_taken_by_default(collection):
    assert left(collection, "ce-margin") == left(collection, "ce-margin=3")


def test_a_cross_encoder_without_a_margin_asks_for_one(collection):
    save_scores(collection, SCORES, ce=ELECTRA)
    with pytest.raises(UsageError, match="no margin of its own") as caught:
        left(collection, "ce-margin", ce=ELECTRA)
    assert f"msmctl negatives stats --collection small --ce {ELECTRA}" in caught.value.message
    assert left(collection, "ce-margin=3", ce=ELECTRA) == left(collection, "ce-margin=3", ce=MINILM)


def test_which_cross_encoder_must_be_said_where_there_are_several(collection):
    save_scores(collection, SCORES, ce=ELECTRA)
    with pytest.raises(UsageError, match=f"{ELECTRA}.*{MINILM}|{MINILM}.*{ELECTRA}"):
        left(collection, "ce-margin=3")


def test_scores_that_are_missing_name_the_command(tmp_path):
    collection = make(tmp_path, passages={"p": "x"}, queries={"train": {"q": "y"}},
                      qrels={"train": [("q", "p", 1)]})  # fmt: skip
    save_run(collection, "bm25", {"q": ["p"]})
    with pytest.raises(NotFound) as caught:
        open_negatives(collection, Asked("train", filters=["ce-margin=3"]))
    assert "msmctl score --collection small" in caught.value.hint


def test_per_positive_a_candidate_may_be_near_another_positive(collection):
    assert left(collection, "ce-margin=3,per=positive") == {"bm25": ["p2", "p3", "p4", "p5"],
                                                            TAS_B: ["p3", "p2"]}  # fmt: skip


def test_per_positive_says_which_triplets_may_be(collection):
    opened = open_negatives(collection, Asked("train", filters=["ce-margin=3,per=positive"]))
    block = opened.candidates.of(collection.qords_of(["q"]))
    scores = dict(zip(collection.pids_of(block.pairs.ords), block.pairs.ce.tolist(), strict=True))
    pairs = np.arange(len(block.pairs))
    for n, (positive, ce) in enumerate([("p0", 9.0), ("p1", 5.0)]):
        assert collection.pids_of(block.positives.ords[[n]]) == [positive]
        admitted = opened.selection.admits(block, np.full(len(pairs), n), pairs)
        assert admitted.tolist() == [ce - score > 3 for score in scores.values()]


@pytest.mark.parametrize("written", ["ce-margin=3", "ce-margin=3,per=positive", "ce-margin=3,easy=8",
                                     "ce-margin=3,per=positive,easy=3.5"])  # fmt: skip
def test_what_the_margin_takes_out_has_a_verdict_that_says_so(collection, written):
    opened = open_negatives(collection, Asked("train", filters=[written]))
    block = opened.candidates.of(collection.qords_of(["q"]))
    kept = opened.selection.keep(block)
    scored = ~np.isnan(block.pairs.ce[block.pair])
    verdict = block.pairs.verdict[block.pair]
    by_score = np.isin(verdict, [Verdict.LIKELY_POSITIVE, Verdict.TOO_EASY])
    assert (scored & by_score).any()
    assert (kept == (scored & (verdict == Verdict.KEEP))).all()


def test_per_positive_the_reason_says_of_which_positives_it_is_a_negative(collection):
    # The positives have 9 and 5: 4.5 is 3 below the first alone, 7 below neither.
    opened = open_negatives(collection, Asked("train", filters=["ce-margin=3,per=positive"]))
    block = opened.candidates.of(collection.qords_of(["q"]))
    told = {pid: (Verdict(block.pairs.verdict[n]).label, why(block, n, opened.candidates.rules))
            for n, pid in enumerate(collection.pids_of(block.pairs.ords))}  # fmt: skip
    assert told["p4"] == (
        "keep", "score 4.50, 0.50 below the lowest positive: a negative of positives more than 3 above it"
    )  # fmt: skip
    assert told["p6"] == (
        "likely_positive",
        "score 7.00, -2.00 below the lowest positive: within the margin of 3 of every positive",
    )
    assert told["p5"] == ("keep", "score -8.00, 13.00 below the lowest positive")


def test_two_margins_would_give_two_verdicts_and_are_refused(collection):
    with pytest.raises(UsageError, match="ce-margin=3 and absolute_margin=5: a candidate has one verdict"):
        left(collection, "ce-margin=3", "rank-range=1:30", "absolute_margin=5")


def test_too_easy_is_left_out_where_asked_for(collection):
    assert left(collection, "ce-margin=3,easy=12") == {"bm25": ["p2"], TAS_B: ["p2"]}


def test_without_a_scored_positive_nothing_passes(collection):
    assert left(collection, "ce-margin=3", qid="r") == {"bm25": [], TAS_B: []}


def test_a_person_s_keep_passes_every_cross_encoder_filter_scored_or_not(collection):
    marks = Marks(collection, [Mark("q", "p7", Verdict.KEEP, "not scored"),
                               Mark("q", "p6", Verdict.KEEP, "no answer")])  # fmt: skip
    for one in ("ce-margin=3", "percent-of-positive=.5,score=sigmoid"):
        assert {"p6", "p7"} <= set(left(collection, one, marks=marks)[TAS_B])
    assert left(collection, "rank-range=1:3", marks=marks)[TAS_B] == ["p3", "p2"]


def test_a_person_s_other_verdicts_leave_out_whatever_the_scores_say(collection):
    marks = Marks(collection, [Mark("q", "p2", Verdict.LIKELY_POSITIVE, "looks right")])
    assert left(collection, "ce-margin=3", marks=marks) == {"bm25": ["p5"], TAS_B: []}


def test_percent_of_positive_takes_a_share_of_the_sigmoid(collection):
    # sigmoid(5) = .9933; .95 of it is .9436, between sigmoid(2) = .8808 and sigmoid(4.5) = .9890.
    assert left(collection, "percent-of-positive=.95,score=sigmoid") == {"bm25": ["p2", "p3", "p5"],
                                                                         TAS_B: ["p3", "p2"]}  # fmt: skip


@pytest.mark.parametrize("score", ["ce", "ce_score", "logit", "cosine:"])
def test_percent_of_positive_is_refused_on_what_has_no_zero(collection, score):
    with pytest.raises(UsageError, match="no score that a share can be taken of") as caught:
        left(collection, f"percent-of-positive=.95,score={score}")
    assert "cosine:SYSTEM" in caught.value.hint


def test_percent_of_positive_is_refused_on_dot_products_and_bm25(collection):
    with pytest.raises(UsageError, match="dot product"):
        left(collection, f"percent-of-positive,score=cosine:{TAS_B}")
    with pytest.raises(UsageError, match="BM25"):
        left(collection, "percent-of-positive,score=cosine:bm25")


def test_rank_range_counts_the_system_s_own_ranks(collection):
    assert left(collection, "rank-range=2:4") == {"bm25": ["p2", "p3", "p4"], TAS_B: ["p2", "p6"]}
    assert left(collection, "rank-range=4:") == {"bm25": ["p4", "p5"], TAS_B: ["p6", "p7"]}


def test_score_range_looks_at_one_system(collection):
    # Scores of a made-up list of five fall from 9 to 1 in equal steps: 9, 7, 5, 3, 1.
    assert left(collection, "score-range=3:5,system=bm25") == {"bm25": ["p3", "p4"],
                                                               TAS_B: ["p3", "p2", "p6", "p7"]}  # fmt: skip
    with pytest.raises(UsageError, match="add system=NAME, one of bm25"):
        left(collection, "score-range=3:5")
    assert left(collection, "score-range=3:5", systems=["bm25"]) == {"bm25": ["p3", "p4"]}


def test_systems_are_chosen_by_any_spelling(collection):
    assert left(collection, "systems=BM25") == {"bm25": ["p2", "p3", "p4", "p5"], TAS_B: []}
    assert left(collection, f"systems=bm25,{TAS_B}") == left(collection)
    with pytest.raises(UsageError, match="not among the systems read"):
        left(collection, f"systems={V3}")


def test_min_systems_counts_who_still_has_the_passage(collection):
    assert left(collection, "min-systems=2") == {"bm25": ["p2", "p3"], TAS_B: ["p3", "p2"]}
    assert left(collection, "rank-range=1:2", "min-systems=2") == {"bm25": [], TAS_B: []}


def test_max_per_system_counts_only_what_no_system_before_has_taken(collection):
    assert left(collection, "max-per-system=2") == {"bm25": ["p2", "p3"], TAS_B: ["p6", "p7"]}


def test_max_per_system_gives_the_union_of_the_published_script(collection):
    taken: list[str] = []
    for system in RANKED:
        added = 0
        for pid in RANKED[system]["q"]:
            if pid not in ("p0", "p1") and pid not in taken and added < 2:
                taken.append(pid)
                added += 1
    lists = left(collection, "max-per-system=2").values()
    assert {pid for one in lists for pid in one} == set(taken)


def test_filters_apply_in_the_order_given(collection):
    first, second = "rank-range=3:", "max-per-system=1"
    assert left(collection, first, second) == {"bm25": ["p3"], TAS_B: ["p2"]}
    assert left(collection, second, first) == {"bm25": [], TAS_B: []}


def test_depth_comes_last(collection):
    assert left(collection, "rank-range=3:", depth=1) == {"bm25": ["p3"], TAS_B: ["p2"]}


@pytest.mark.parametrize(("alias", "ours"), [
    ("absolute_margin=3", "ce-margin=3,per=lowest"),
    ("relative_margin=.05,score=sigmoid", "percent-of-positive=0.95,score=sigmoid"),
    ("range_min=10", "rank-range=11:"),
    ("range_min=0", "rank-range=1:"),
    ("range_max=50", "rank-range=:50"),
    ("max_score=.8,system=bm25", "score-range=:0.8,system=bm25"),
    ("min_score=.2", "score-range=0.2:"),
])  # fmt: skip
def test_the_words_of_sentence_transformers_are_understood(alias, ours):
    assert parse_filter(alias).described == ours


@pytest.mark.parametrize("text", [
    "rank-range=0:3", "rank-range=5:2", "rank-range=1-3", "rank-range=:", "rank-range", "rank-range=a:b",
    "ce-margin=wide", "ce-margin=nan", "ce-margin=1e999", "ce-margin=3,per=each",
    "ce-margin,per=lowest,per=lowest", "ce-margin=per=positive",
    "ce-margin=3,depth=2", "percent-of-positive=95,score=sigmoid", "percent-of-positive=.95",
    "max-per-system=0", "max-per-system,5", "ce-margin=3,", "ce-margin=3=4",
    "max-per-system=-1", "max-per-system=٣", "min-systems=1.5", "systems=", "systems=a,,b", "score-range=2:1",
    "range_min=-1", "max-per-system=99999999999999999999",
])  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_the_filter_s_own_help(text):
    with pytest.raises(UsageError) as caught:
        parse_filter(text)
    assert caught.value.message.startswith("filter ")
    assert "Example: --filter " in caught.value.hint


def test_an_unknown_filter_names_the_nearest_and_all(collection):
    with pytest.raises(UsageError, match="no such filter 'ce-margins'; did you mean ce-margin") as caught:
        parse_filter("ce-margins=3")
    assert all(name in caught.value.hint for name in FILTERS)


@pytest.mark.parametrize("name", FILTERS)
def test_the_help_of_a_filter_has_every_parameter_and_an_example_that_parses(name):
    text = help_of(FILTERS[name])
    assert all(parameter.help in text for parameter in FILTERS[name].parameters)
    assert parse_filter(FILTERS[name].example).filter is FILTERS[name]


@pytest.mark.parametrize(
    "text", ["ce-margin=3,per=positive", "rank-range=2:9", "systems=bm25,x", "min-systems=2"]
)
def test_a_filter_is_described_as_it_may_be_written(text):
    assert parse_filter(text).described == text
    assert parse_filter(parse_filter(text).described).arguments == parse_filter(text).arguments


@pytest.mark.parametrize("text", ["8", "ce>8", "ce>=", "ce>=many", "bm25>=3"])
def test_relabel_is_written_in_one_way(text):
    assert parse_relabel("ce>=8") == parse_relabel(" ce >= 8.0 ") == 8
    with pytest.raises(UsageError, match="--relabel"):
        parse_relabel(text)


def test_copies_of_a_relabelled_passage_are_no_negatives(tmp_path):
    texts = {
        "a": "one two three four",
        "b": "five six seven eight",
        "c": "FIVE six, seven eight!",
        "d": "nine",
    }
    collection = make(
        tmp_path, passages=texts, queries={"train": {"q": "x"}}, qrels={"train": [("q", "a", 1)]}
    )
    save_run(collection, "bm25", {"q": ["b", "c", "d"]})
    save_scores(collection, {("q", "a"): 5, ("q", "b"): 9, ("q", "c"): 7, ("q", "d"): 1})
    assert left(collection, relabel="ce>=8") == {"bm25": ["d"]}


def test_every_step_counts_what_it_removes_by_system(collection):
    opened = open_negatives(collection, Asked("train", filters=["ce-margin=3", "max-per-system=1"]))
    tally = Tally(opened.candidates.systems)
    for n in range(opened.candidates.blocks):
        opened.selection.keep(opened.candidates.block(n), tally)
    # bm25: p0 p2 p3 p4 p5 and p8 p2; tas-b: p3 p1 p2 p6 p7 and p2 p8 p0.
    assert tally.as_dict() == {
        "candidates": {"bm25": 7, TAS_B: 8},
        "removed": [
            {"by": "positive", "systems": {"bm25": 2, TAS_B: 2}},
            {"by": "likely_positive by a person", "systems": {"bm25": 0, TAS_B: 0}},
            {"by": "too_easy by a person", "systems": {"bm25": 0, TAS_B: 0}},
            {"by": "near_duplicate", "systems": {"bm25": 0, TAS_B: 0}},
            {"by": "excluded", "systems": {"bm25": 0, TAS_B: 0}},
            {"by": "ce-margin=3,per=lowest: not scored", "systems": {"bm25": 1, TAS_B: 3}},
            {"by": "ce-margin=3,per=lowest", "systems": {"bm25": 2, TAS_B: 2}},
            {"by": "max-per-system=1", "systems": {"bm25": 1, TAS_B: 1}},
            {"by": "depth", "systems": {"bm25": 0, TAS_B: 0}},
        ],
        "negatives": {"bm25": 1, TAS_B: 0},
    }
    assert tally.margins.total == 5  # p2 to p6 of q; p7 is not scored, and r has no scored positive


WRITTEN = ["ce-margin=3", "ce-margin=1,per=positive,easy=9", "percent-of-positive=.9,score=sigmoid",
           "rank-range=2:4", "score-range=2:6,system=bm25", "systems=bm25", "min-systems=2",
           "max-per-system=1", "max-per-system=2"]  # fmt: skip


@settings(max_examples=60)
@given(filters=st.lists(st.sampled_from(WRITTEN), max_size=4), one=st.sampled_from(WRITTEN))
def test_a_further_filter_never_adds(collection, filters, one):
    assume(sum(written.startswith("ce-margin") for written in [*filters, one]) <= 1)
    fewer, more = left(collection, *filters, one), left(collection, *filters)
    assert all(set(fewer[system]) <= set(more[system]) for system in RANKED)


def test_changing_a_filter_calls_no_encoder_and_no_cross_encoder(collection, monkeypatch):
    import torch

    calls: list[object] = []
    monkeypatch.setattr(torch.nn.Module, "__call__", lambda self, *_, **__: calls.append(self))
    for margin in (0, 1, 3):
        left(collection, f"ce-margin={margin}", "percent-of-positive,score=sigmoid")
    assert calls == []


def test_a_strategy_without_a_number_is_refused():
    with pytest.raises(UsageError, match="of how many"):
        Selection.parse([], sample="random")
