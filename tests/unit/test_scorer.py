"""Scores are those of sentence-transformers' CrossEncoder, whatever the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder
from small_collection import make, update
from tiny_ce import SENTENCES, TEMPLATE, tiny_ce

from services.cross_encoders.cross_encoder import Template
from services.cross_encoders.models import add
from services.errors import InputError
from services.scoring.scorer import load_scorer
from services.scoring.tokens import TokenCache
from services.settings import Settings
from services.store import Store

ENCODERS = ("bert", "roberta", "modernbert")
QUERIES = ["why is the sea salt?", "who", "When does dew settle on the grass, and why? " * 4]
PASSAGES = [*SENTENCES, "", "a", "The sea. " * 60, *(" ".join(SENTENCES[:n]) for n in range(1, 5))]


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    return {style: tiny_ce(tmp_path_factory.mktemp(style), style) for style in (*ENCODERS, "qwen")}


@pytest.fixture
def scorer(tmp_path, folders):
    def load(style, **stated):
        store = Store(str(tmp_path / "store"))
        template = Template(**TEMPLATE) if style == "qwen" else None
        ce, _ = add(store, style, str(stated.pop("folder", folders.get(style))), template=template, **stated)
        return load_scorer(store, ce, Settings(home=tmp_path, device="cpu", threads=1))

    return load


def collection(tmp_path):
    return make(
        tmp_path,
        passages={f"p{n}": text or "?" for n, text in enumerate(PASSAGES)},
        queries={"train": {f"q{n}": text for n, text in enumerate(QUERIES)}},
    )


def all_pairs():
    qords = np.repeat(np.arange(len(QUERIES), dtype=np.int32), len(PASSAGES))
    return qords, np.tile(np.arange(len(PASSAGES), dtype=np.int32), len(QUERIES))


@pytest.mark.parametrize("style", ENCODERS)
@pytest.mark.parametrize("max_length", [None, 24])
def test_logits_equal_those_of_sentence_transformers(scorer, folders, style, max_length):
    peer = CrossEncoder(str(folders[style]), device="cpu", max_length=max_length)
    ours = scorer(style, max_length=max_length)
    for query in QUERIES:
        expected = peer.predict([(query, text) for text in PASSAGES], activation_fn=torch.nn.Identity())
        found = ours.score(query, PASSAGES)
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("style", ENCODERS)
def test_what_sentence_transformers_saves_scores_alike(scorer, folders, style, tmp_path):
    CrossEncoder(str(folders[style]), device="cpu").save_pretrained(str(tmp_path / "saved"))
    saved = scorer("saved", folder=tmp_path / "saved")
    assert np.abs(saved.score(QUERIES[0], PASSAGES) - scorer(style).score(QUERIES[0], PASSAGES)).max() < 1e-6


def test_a_decoders_score_is_the_logit_of_yes_minus_that_of_no(scorer, folders):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders["qwen"])
    model = AutoModelForCausalLM.from_pretrained(folders["qwen"], dtype=torch.float32).eval()
    yes, no = tokenizer.convert_tokens_to_ids(["yes", "no"])
    expected = []
    for text in SENTENCES:
        whole = f"{TEMPLATE['prefix']}{QUERIES[0]}{TEMPLATE['between']}{text}{TEMPLATE['suffix']}"
        with torch.inference_mode():
            last = model(**tokenizer(whole, return_tensors="pt")).logits[0, -1]
        expected.append(float(last[yes] - last[no]))
    assert np.abs(scorer("qwen").score(QUERIES[0], SENTENCES) - expected).max() < 1e-5


@pytest.mark.parametrize("style", [*ENCODERS, "qwen"])
def test_a_pairs_score_does_not_depend_on_its_batch(scorer, style, tmp_path):
    ours, small = scorer(style), collection(tmp_path)
    qords, ords = all_pairs()
    together = ours.pairs(small, qords, ords)
    assert not together.dead
    shuffled = np.random.default_rng(1).permutation(len(qords))
    for scale in (1.0, 0.05):
        again = ours.pairs(small, qords[shuffled], ords[shuffled], scale=scale)
        assert np.abs(again.scores - together.scores[shuffled]).max() < 5e-6
    alone = np.concatenate(
        [ours.score(text, [PASSAGES[n] or "?" for n in range(len(PASSAGES))]) for text in QUERIES]
    )
    assert np.abs(alone - together.scores).max() < 5e-6


def test_the_same_pairs_give_the_same_bytes(scorer, tmp_path):
    ours, small = scorer("bert"), collection(tmp_path)
    qords, ords = all_pairs()
    first = ours.pairs(small, qords, ords).scores
    assert ours.pairs(small, qords, ords).scores.tobytes() == first.tobytes()


def test_tokens_are_made_once_and_again_only_for_changed_texts(scorer, tmp_path, monkeypatch):
    ours, small = scorer("bert"), collection(tmp_path)
    rows = np.arange(len(PASSAGES))
    made = TokenCache(small, ours.engine.tokenizer).of("passages", rows)
    monkeypatch.setattr(ours.engine.tokenizer, "passages", lambda texts: pytest.fail("tokenised again"))
    again = TokenCache(small, ours.engine.tokenizer).of("passages", rows)
    assert again.ids.tolist() == made.ids.tolist()
    monkeypatch.undo()
    grown = update(tmp_path, passages={"p0": "changed"})
    wanted = np.array([1, len(PASSAGES)])
    found = TokenCache(grown, ours.engine.tokenizer).of("passages", wanted)
    assert found.ids.tolist() == ours.engine.tokenizer.passages([PASSAGES[1], "changed"]).ids.tolist()


def test_tokens_that_were_cut_off_are_made_again(scorer, tmp_path):
    ours, small = scorer("bert"), collection(tmp_path)
    cache = TokenCache(small, ours.engine.tokenizer)
    made = cache.of("passages", np.arange(len(PASSAGES)))
    (name,) = [n for n in small.store.children(f"{cache.key}/passages") if n.endswith("ids.npy")]
    path = small.store.local_path(f"{cache.key}/passages/{name}")
    path.write_bytes(path.read_bytes()[:-8])
    assert cache.of("passages", np.arange(len(PASSAGES))).ids.tolist() == made.ids.tolist()


def test_a_few_rows_of_a_range_are_tokenised_alone(scorer, tmp_path, monkeypatch):
    monkeypatch.setattr("services.scoring.tokens._WORTH", 2)
    ours, small = scorer("bert"), collection(tmp_path)
    cache = TokenCache(small, ours.engine.tokenizer)
    found = cache.of("passages", np.array([1, 4]))
    assert not small.store.children(f"{cache.key}/passages")
    assert found.ids.tolist() == ours.engine.tokenizer.passages([PASSAGES[1], PASSAGES[4]]).ids.tolist()


def test_memory_that_runs_out_is_told_as_such(scorer, tmp_path, monkeypatch):
    ours = scorer("bert")

    def fails(**_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(ours.engine.backend._model, "forward", fails)
    with pytest.raises(MemoryError):
        ours.score("who", ["a"])


def test_a_pair_that_cannot_be_computed_is_dead_and_the_others_are_not(scorer, folders, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(folders["bert"], tmp_path / "poisoned")
    weights = load_file(folder / "model.safetensors")
    ours = scorer("bert")
    word = ours.engine.tokenizer.passages(["Dew"]).ids[-1]
    weights["bert.embeddings.word_embeddings.weight"][word] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    poisoned, small = scorer("poisoned", folder=folder), collection(tmp_path)
    qords, ords = all_pairs()
    found = poisoned.pairs(small, qords, ords)
    assert found.dead
    assert set(found.dead.values()) == {"the model's output is not a number"}
    assert sorted(found.dead) == np.flatnonzero(np.isnan(found.scores)).tolist()
    good = ~np.isnan(found.scores)
    assert np.abs(found.scores[good] - ours.pairs(small, qords, ords).scores[good]).max() < 1e-6
    with pytest.raises(InputError, match="cannot be scored"):
        poisoned.score("who", ["the sea", "Dew settles"])


def test_a_length_beyond_the_models_positions_is_refused(scorer):
    with pytest.raises(InputError, match="max-length 97 is beyond the model's 96 positions"):
        scorer("roberta", max_length=97)


def test_weights_without_a_head_are_refused(scorer, folders, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(folders["bert"], tmp_path / "headless")
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("classifier")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"no weights for classifier.*not a trained cross-encoder"):
        scorer("headless", folder=folder)


def test_answers_that_are_no_single_token_are_refused(scorer, folders, tmp_path):
    store = Store(str(tmp_path / "other"))
    template = Template(**TEMPLATE, yes="certainly so")
    ce, _ = add(store, "odd", str(folders["qwen"]), template=template)
    with pytest.raises(InputError, match="tokens of 'certainly so' instead of one"):
        load_scorer(store, ce, Settings(home=tmp_path, device="cpu"))


def test_a_saved_decoder_scores_alike_and_only_with_the_answers_that_it_was_saved_with(
    scorer, folders, tmp_path
):
    CrossEncoder(str(folders["qwen"]), device="cpu").save_pretrained(str(tmp_path / "saved"))
    store = Store(str(tmp_path / "other"))
    ce, _ = add(store, "same", str(tmp_path / "saved"), template=Template(**TEMPLATE))
    saved = load_scorer(store, ce, Settings(home=tmp_path, device="cpu", threads=1))
    assert np.abs(saved.score("who", SENTENCES) - scorer("qwen").score("who", SENTENCES)).max() < 1e-6
    swapped = Template(**TEMPLATE, yes="no", no="yes")
    ce, _ = add(store, "swapped", str(tmp_path / "saved"), template=swapped)
    with pytest.raises(InputError, match="the model was saved with"):
        load_scorer(store, ce, Settings(home=tmp_path, device="cpu"))
