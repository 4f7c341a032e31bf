"""What is no negative: positives, judged passages, exact and near copies of a positive, removed ones."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_collection import make, update

from services.mining.exclusion import Exclusion, Judgements, Reason, depth_cut, judged_lists
from services.mining.ranking import Candidates
from services.mining.shingles import THRESHOLD, Shingled, near_copies, sketch, words
from services.mining.sketches import Sketched

OIL = "The 1973 oil crisis began in October 1973 when OAPEC proclaimed an oil embargo against several states."


def reasons(collection, ords, qord=0):
    ords = np.array(ords, np.int32)
    candidates = Candidates(qord, ords, np.linspace(1, 0, len(ords), dtype=np.float32))
    return [Reason(int(reason)).name for reason in next(Exclusion(collection).reasons([candidates]))]


def test_each_reason(tmp_path):
    passages = {
        "positive": OIL,
        "same": OIL.upper().replace(" ", "\n  ").replace(".", " !"),
        "near": OIL.replace("several states", "several countries"),
        "other": "Rivers carry dissolved minerals from the rocks to the sea.",
        "half": "In another story " + OIL[:40],
        "grade1": "The embargo ended in March 1974.",
        "grade0": "Oil floats on water.",
    }
    judged = [("q", "positive", 2), ("q", "grade1", 1), ("q", "grade0", 0)]
    collection = make(
        tmp_path, passages=passages, queries={"train": {"q": "when?"}}, qrels={"train": judged}, min_rel=2
    )
    assert reasons(collection, range(7)) == [
        "POSITIVE",
        "EXACT_COPY",
        "NEAR_COPY",
        "KEPT",
        "KEPT",
        "JUDGED",
        "KEPT",
    ]


def test_a_removed_passage_is_no_candidate_any_more(tmp_path):
    make(
        tmp_path,
        passages={"a": "one two three", "b": "four five six"},
        queries={"train": {"q": "x"}},
        qrels={"train": [("q", "a", 1)]},
    )
    collection = update(tmp_path, delete=["b"])
    assert reasons(collection, [0, 1]) == ["POSITIVE", "REMOVED"]


def test_a_positive_of_any_split_is_no_negative(tmp_path):
    collection = make(
        tmp_path,
        passages={"a": "one two three", "b": "four five six", "c": "seven eight nine"},
        queries={"train": {"q": "x"}, "test": {"q": "x"}},
        qrels={"train": [("q", "a", 1)], "test": [("q", "b", 1)]},
    )
    assert reasons(collection, [0, 1, 2]) == ["POSITIVE", "POSITIVE", "KEPT"]


def test_what_was_judged_for_another_query_with_the_same_text_is_no_negative_and_no_positive(tmp_path):
    collection = make(
        tmp_path,
        passages={name: f"{name} is about {name}" for name in ("a", "b", "c", "d")},
        queries={
            "train": {"q": "who?", "twin": "who?", "new": "who?", "other": "who"},
            "test": {"t": "who?"},
        },
        qrels={
            "train": [("q", "a", 1), ("twin", "b", 1), ("other", "d", 1)],
            "test": [("t", "c", 1)],
        },
    )
    q, twin, new, other = (int(qord) for qord in collection.qords_of(["q", "twin", "new", "other"]))
    assert reasons(collection, range(4), q) == ["POSITIVE", "JUDGED", "JUDGED", "KEPT"]
    assert reasons(collection, range(4), twin) == ["JUDGED", "POSITIVE", "JUDGED", "KEPT"]
    assert reasons(collection, range(4), new) == ["JUDGED", "JUDGED", "JUDGED", "KEPT"]
    assert reasons(collection, range(4), other) == ["KEPT", "KEPT", "KEPT", "POSITIVE"]
    pairs = zip(
        *(column.tolist() for column in Judgements(collection).pairs(np.array([q, other]))), strict=True
    )
    assert sorted(pairs) == [(q, 0, True), (q, 1, False), (q, 2, False), (other, 3, True)]


def test_a_query_whose_text_was_changed_is_no_twin_any_more(tmp_path):
    make(
        tmp_path,
        passages={"a": "one two three", "b": "four five six"},
        queries={"train": {"q": "x", "twin": "x"}},
        qrels={"train": [("q", "a", 1), ("twin", "b", 1)]},
    )
    collection = update(tmp_path, queries={"train": {"twin": "y"}})
    assert reasons(collection, [0, 1]) == ["POSITIVE", "KEPT"]


def test_a_query_without_judgements_keeps_everything(tmp_path):
    collection = make(tmp_path, passages={"a": "same text", "b": "same text"}, queries={"train": {"q": "x"}})
    assert reasons(collection, [0, 1]) == ["KEPT", "KEPT"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Straße – Café", "STRASSE cafe\u0301"),  # case, dash, composed and decomposed
        ("ﬁne １２３", "fine 123"),  # compatibility forms
        ("soft\u00adhyphen\u200b here", "softhyphen here"),
        ("a  b\tc\n", "A, b; (c)."),
        ("!!!", " !!! "),
    ],
)
def test_texts_that_are_the_same_when_normalised(one, other):
    assert sketch(one).digest == sketch(other).digest


@pytest.mark.parametrize(("one", "other"), [("a b", "b a"), ("!!!", "???"), ("हिन्दी", "हन्द"), ("x1", "x 1")])
def test_texts_that_are_not(one, other):
    assert sketch(one).digest != sketch(other).digest


def test_chinese_and_japanese_have_a_word_per_character():
    assert words("東京の塔") == ["東", "京", "の", "塔"]


def naive_near(a: str, b: str) -> bool:
    def grams(text: str) -> set[tuple[str, ...]]:
        found = re.findall(r"[a-z0-9]+", text.lower())
        return {tuple(found[n : n + 3]) for n in range(len(found) - 2)}

    one, other = grams(a), grams(b)
    return bool(one and other) and len(one & other) / len(one | other) >= THRESHOLD


TEXTS = st.lists(st.sampled_from(["oil", "Sea", "moon,", "tide", "1973"]), max_size=14).map(" ".join)


@settings(max_examples=200)
@given(TEXTS, st.lists(TEXTS, max_size=6))
def test_near_copies_are_what_sets_of_trigrams_say(positive, others):
    texts = Shingled.of([sketch(text) for text in [positive, *others]])
    found = near_copies(texts, np.arange(1, len(others) + 1), np.zeros(len(others), np.int64))
    assert found.tolist() == [naive_near(positive, other) for other in others]


@settings(max_examples=100)
@given(st.lists(st.tuples(st.lists(TEXTS, min_size=1, max_size=4), st.lists(TEXTS, max_size=3)), max_size=4))
def test_lists_are_judged_together_as_each_would_be_alone(lists):
    texts = sorted({text for pair in lists for side in pair for text in side})
    ords = {text: n for n, text in enumerate(texts)}
    batch = [tuple(np.array([ords[text] for text in side], np.int32) for side in pair) for pair in lists]
    known = SimpleNamespace(
        of=lambda wanted: Sketched.of(np.sort(wanted), [sketch(texts[n]) for n in np.sort(wanted)])
    )
    found = judged_lists([(candidates, positives, positives) for candidates, positives in batch], known)
    for (_, reasons), (candidates, positives) in zip(found, lists, strict=True):
        assert [Reason(reason) for reason in reasons] == [
            Reason.POSITIVE if text in positives
            else Reason.EXACT_COPY if words(text) in [words(one) for one in positives]
            else Reason.NEAR_COPY if any(naive_near(text, one) for one in positives)
            else Reason.KEPT
            for text in candidates
        ]  # fmt: skip


def test_the_cut_stands_where_the_depth_th_survivor_does():
    pattern = np.array([0, 1, 0, 4, 0, 0], np.uint8)
    assert [depth_cut(pattern, depth) for depth in (1, 2, 3, 4, 5)] == [1, 3, 5, 6, None]
