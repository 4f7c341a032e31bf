"""Pairs put together from ids of their texts are those that the tokenizer makes, truncation included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_ce import SENTENCES, TEMPLATE, tiny_ce
from transformers import AutoTokenizer

from services.cross_encoders.cross_encoder import Template
from services.cross_encoders.model_folder import own_settings
from services.cross_encoders.profile import Profile
from services.errors import InputError
from services.scoring.layout import longest_first
from services.scoring.tokenizer import PairTokenizer

ENCODERS = ("bert", "roberta", "modernbert")
WORDS = " ".join(SENTENCES).split()


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    return {style: tiny_ce(tmp_path_factory.mktemp(style), style) for style in (*ENCODERS, "qwen")}


@pytest.fixture(scope="session")
def theirs(folders):
    """Those of transformers, loaded once: loading takes longer than an example."""
    return {style: AutoTokenizer.from_pretrained(folder) for style, folder in folders.items()}


@pytest.fixture(scope="session")
def decoder(folders):
    return pair_tokenizer(folders["qwen"], 4096, Template(**TEMPLATE))


def pair_tokenizer(folder: Path, max_length: int, template: Template | None = None) -> PairTokenizer:
    profile = Profile(kind="decoder" if template else "encoder", max_length=max_length, template=template)
    return PairTokenizer(folder, own_settings(folder), profile)


def ours(tokenizer, pairs):
    queries = tokenizer.queries([query for query, _ in pairs])
    passages = tokenizer.passages([passage for _, passage in pairs])
    return [tokenizer.row(queries, passages, np.array([n])) for n in range(len(pairs))]


@settings(max_examples=200)
@given(first=st.integers(0, 60), second=st.integers(0, 60), room=st.integers(2, 40))
def test_lengths_are_cut_as_the_tokenizers_library_cuts_them(first, second, room):
    from tokenizers import Tokenizer, models, pre_tokenizers

    real = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    real.pre_tokenizer = pre_tokenizers.Whitespace()
    real.enable_truncation(room, strategy="longest_first")
    of = real.encode("a " * first, "b " * second).sequence_ids
    left = longest_first(np.array([first]), np.array([second]), room)
    assert [int(n[0]) for n in left] == [of.count(0), of.count(1)]


TEXTS = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join),
    st.integers(0, 200).map(lambda count: "a " * count),
    st.text(max_size=30),
    st.sampled_from(["", " ", "\n", "[SEP]", "</s>", "  a  ", "x" * 400]),
)


@pytest.mark.parametrize("style", ENCODERS)
@settings(max_examples=40)
@given(pairs=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6), max_length=st.integers(8, 96))
def test_a_pair_has_the_tokens_that_the_tokenizer_gives_it(folders, theirs, style, pairs, max_length):
    expected = theirs[style](
        [list(pair) for pair in pairs], truncation="longest_first", max_length=max_length
    )
    assert ours(pair_tokenizer(folders[style], max_length), pairs) == expected["input_ids"]


@pytest.mark.parametrize("style", ENCODERS)
def test_a_block_has_the_ids_masks_and_types_of_a_batch(folders, theirs, style):
    pairs = [(a, b) for a in SENTENCES[:3] for b in [*SENTENCES, ""]]
    expected = theirs[style](
        [list(pair) for pair in pairs], truncation=True, max_length=64, padding="max_length"
    )
    tokenizer = pair_tokenizer(folders[style], 64)
    queries, passages = (tokenizer.queries([q for q, _ in pairs]), tokenizer.passages([p for _, p in pairs]))
    at = np.arange(len(pairs))
    lengths = tokenizer.layout.truncated(queries.lengths, passages.lengths)
    ids, mask, types = tokenizer.layout.rows(queries, passages, at, at, lengths, len(pairs) + 2, 64)
    assert ids[: len(pairs)].tolist() == expected["input_ids"]
    assert mask[: len(pairs)].tolist() == expected["attention_mask"]
    assert (None if types is None else types[: len(pairs)].tolist()) == expected.get("token_type_ids")
    assert ids[-1].tolist() == ids[len(pairs) - 1].tolist()


@settings(max_examples=150)
@given(query=TEXTS, passage=TEXTS)
def test_a_decoders_pair_has_the_tokens_of_the_whole_text(theirs, decoder, query, passage):
    template = Template(**TEMPLATE)
    whole = f"{template.prefix}{query}{template.between}{passage}{template.suffix}"
    expected = theirs["qwen"](whole, add_special_tokens=False)["input_ids"]
    assert ours(decoder, [(query, passage)]) == [expected]


def test_a_decoders_long_pair_is_cut_before_the_suffix(folders):
    template = Template(**TEMPLATE)
    tokenizer = pair_tokenizer(folders["qwen"], 80, template)
    suffix = tokenizer.layout.suffix.ids.tolist()
    for pair in (("who?", "sea " * 90), ("sea " * 90, "who?"), ("sea " * 90, "")):
        (row,) = ours(tokenizer, [pair])
        assert (len(row), row[-len(suffix) :]) == (80, suffix)


def test_a_length_that_leaves_no_room_is_refused(folders):
    with pytest.raises(InputError, match="max-length 8 leaves no room"):
        pair_tokenizer(folders["qwen"], 8, Template(**TEMPLATE))


def test_half_a_character_is_refused(folders):
    with pytest.raises(InputError, match="cannot be tokenised"):
        pair_tokenizer(folders["bert"], 64).passages(["fine", "\ud800"])
