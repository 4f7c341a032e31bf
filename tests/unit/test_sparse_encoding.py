"""Sparse encoders: the same term weights as sentence-transformers, and folders that are none."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_model import masked_language_model, poisoned_head, tiny_model, with_modules, with_terms

from services.encoding.encoder import load_dense, load_encoder, vectors_fingerprint
from services.encoding.gathering import MOST_TERMS, SparseGathering
from services.encoding.weights import Weights
from services.errors import InputError
from services.settings import Settings
from services.store import Store
from services.systems.models import add, installed
from services.systems.profile import SparseProfile, profile_of

SETTINGS = Settings(device="cpu", threads=2)
TEXTS = ["the cat sleeps", "", "who sings? A bird.", "old river stones " * 40, "cat"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return masked_language_model(tmp_path_factory.mktemp("masked"))


def weights_of(store: Store, folder: Path, texts: list[str] = TEXTS, **stated: Any) -> Weights:
    system, _ = add(store, "mine", str(folder), **stated)
    made = load_encoder(store, system, SETTINGS).encode(texts, "passage")
    assert isinstance(made, Weights)
    return made


# -- the same as sentence-transformers --------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["max", "sum"])
@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
def test_weights_equal_those_of_sentence_transformers(
    store: Store, masked: Path, tmp_path: Path, pooling: str, activation: str
) -> None:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    body = Transformer(str(masked), max_seq_length=48, transformer_task="fill-mask")
    peer = SparseEncoder(modules=[body, SpladePooling(pooling, activation)], device="cpu")
    peer.save_pretrained(str(tmp_path / "saved"))
    ours = weights_of(store, tmp_path / "saved")
    theirs = peer.encode_document(TEXTS).to_dense().numpy()
    assert theirs.max() > 0
    assert np.abs(ours.dense() - theirs).max() < 1e-5
    found = load_encoder(store, _system(store), SETTINGS).profile
    assert isinstance(found, SparseProfile)
    assert (found.pooling, found.activation, found.max_length) == (pooling, activation, 48)


def test_a_folder_without_their_files_is_sparse_when_it_is_said(store: Store, masked: Path) -> None:
    ours = weights_of(store, masked, kind="sparse")
    assert len(ours) == len(TEXTS)
    assert (ours.values > 0).all()
    assert ours.dim == 37
    system = _system(store)
    assert (system.kind, system.pooling, system.similarity) == ("sparse", "max", "dot")


def test_a_text_has_the_same_weights_alone_and_among_others(store: Store, masked: Path) -> None:
    system, _ = add(store, "mine", str(masked), kind="sparse")
    encoder = load_encoder(store, system, SETTINGS)
    together = encoder.encode(TEXTS)
    alone = [encoder.encode([text]) for text in TEXTS]
    assert isinstance(together, Weights)
    for n, one in enumerate(alone):
        assert isinstance(one, Weights)
        assert np.abs(one.dense()[0] - together.dense()[n]).max() < 1e-6


def test_what_is_not_a_number_is_a_dead_row_without_terms(store: Store, tmp_path: Path) -> None:
    folder = masked_language_model(tmp_path / "model")
    poisoned_head(folder)
    system, _ = add(store, "mine", str(folder), kind="sparse")
    encoded = load_encoder(store, system, SETTINGS).engine.encode(["the cat", "poison", "a dog"])
    assert encoded.dead == {1: "the model's output is not a number"}
    assert isinstance(encoded.vectors, Weights)
    assert [bool(length) for length in encoded.vectors.lengths] == [True, False, True]


def test_the_activation_is_part_of_what_weights_are_known_by(store: Store, tmp_path: Path) -> None:
    folder = with_terms(masked_language_model(tmp_path / "model"))
    known = set()
    for name, activation in (("one", "relu"), ("two", "log1p_relu")):
        with_terms(folder, activation_function=activation)
        system, _ = add(store, name, str(folder))
        model = installed(store, system)
        assert model is not None
        known.add(vectors_fingerprint(model, profile_of(system, model.own)))
    assert len(known) == 2


# -- folders and entries that do not fit ------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"kind": "dense", "pooling": "mean", "similarity": "dot"}, "own files say sparse"),
        ({"pooling": "sum"}, "the entry says pooling 'sum'"),
        ({"pooling": "mean"}, "the entry says pooling 'mean'"),
        ({"similarity": "cosine"}, "compared by dot, not by cosine"),
    ],
)
def test_an_entry_that_contradicts_a_sparse_folder_is_refused(
    store: Store, tmp_path: Path, stated: dict[str, Any], message: str
) -> None:
    folder = with_terms(masked_language_model(tmp_path / "model"), pooling_strategy="max")
    with pytest.raises(InputError, match=message):
        add(store, "mine", str(folder), **stated)


def test_a_dense_folder_is_not_sparse(store: Store, tmp_path: Path) -> None:
    folder = with_modules(tiny_model(tmp_path / "model"))
    with pytest.raises(InputError, match="pool token vectors"):
        add(store, "mine", str(folder), kind="sparse")


def test_a_model_without_a_head_is_not_sparse(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a masked language model"):
        add(store, "mine", str(tiny_model(tmp_path / "model")), kind="sparse")


def test_a_head_whose_weights_are_missing_is_not_made_up(store: Store, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = masked_language_model(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "transform" not in name}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="weights of the masked language model are missing"):
        weights_of(store, folder, kind="sparse")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling_strategy": "mean"}, "'pooling_strategy': is 'mean'"),
        ({"activation_function": "gelu"}, "'activation_function': is 'gelu'"),
        ({"pooling_strategy": 3}, "pooling_strategy"),
    ],
)
def test_a_pooling_that_we_do_not_have_is_named(
    store: Store, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    folder = with_terms(masked_language_model(tmp_path / "model"), **settings)
    with pytest.raises(InputError, match=message):
        add(store, "mine", str(folder))


@pytest.mark.slow
def test_only_so_many_terms_as_the_folder_says_are_kept(store: Store, masked: Path, tmp_path: Path) -> None:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    body = Transformer(str(masked), transformer_task="fill-mask")
    peer = SparseEncoder(modules=[body, SpladePooling()], device="cpu", max_active_dims=4)
    peer.save_pretrained(str(tmp_path / "saved"))
    ours = weights_of(store, tmp_path / "saved")
    assert ours.lengths.max() == 4
    assert np.abs(ours.dense() - peer.encode_document(TEXTS).to_dense().numpy()).max() < 1e-5


def test_weights_that_are_normalised_are_refused(store: Store, tmp_path: Path) -> None:
    folder = with_terms(masked_language_model(tmp_path / "model"), general={"similarity_fn_name": "dot"})
    modules = json.loads((folder / "modules.json").read_text())
    more = {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
    (folder / "modules.json").write_text(json.dumps([*modules, more]))
    with pytest.raises(InputError, match="followed by Normalize"):
        add(store, "mine", str(folder))


def test_weights_compared_by_cosine_are_refused(store: Store, tmp_path: Path) -> None:
    folder = with_terms(masked_language_model(tmp_path / "model"), general={"similarity_fn_name": "cosine"})
    with pytest.raises(InputError, match="compared by cosine"):
        add(store, "mine", str(folder))


def test_a_sparse_system_makes_no_vectors(store: Store, masked: Path) -> None:
    system, _ = add(store, "mine", str(masked), kind="sparse")
    with pytest.raises(InputError, match="makes no vectors"):
        load_dense(store, system, SETTINGS)


# -- rows -------------------------------------------------------------------------------------------


def some() -> Weights:
    matrix = np.zeros((4, 6), np.float32)
    matrix[0, [1, 4]] = 1.5, 0.25
    matrix[2, 5] = 2
    matrix[3, [0, 5]] = 1, 3
    return Weights.of_dense(matrix)


def test_rows_are_taken_cut_and_joined() -> None:
    rows, order = some(), np.array([3, 0, 1, 3])
    assert np.array_equal(rows.take(order).dense(), rows.dense()[order])
    assert np.array_equal(rows.part(1, 3).dense(), rows.dense()[1:3])
    assert np.array_equal(Weights.joined([rows, rows.part(0, 1)], 6).dense()[4], rows.dense()[0])
    assert rows.by_term(0) == {"1": 1.5, "4": 0.25}
    assert len(rows.take(np.empty(0, np.int64))) == 0


def test_a_part_is_read_as_it_was_written(tmp_path: Path) -> None:
    first, second = io.BytesIO(), io.BytesIO()
    some().save(first)
    some().save(second)
    assert first.getvalue() == second.getvalue()
    (tmp_path / "part.npz").write_bytes(first.getvalue())
    assert np.array_equal(Weights.load(tmp_path / "part.npz").dense(), some().dense())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"terms": np.array([1, 4, 5, 0, 9], np.int32)}, "beyond the vocabulary"),
        ({"terms": np.array([1, 4, 5, 0, -1], np.int32)}, "beyond the vocabulary"),
        ({"terms": np.array([1.0, 4, 5, 0, 5])}, "arrays are"),
        ({"starts": np.array([0, 2, 2, 3, 4], np.int64)}, "do not fit"),
        ({"starts": np.array([0, 3, 2, 3, 5], np.int64)}, "do not fit"),
        ({"starts": np.array([], np.int64)}, "arrays are"),
        ({"values": np.array([1], np.float32)}, "do not fit"),
        ({"values": np.array([1, 0, 1, 1, 1], np.float32)}, "not positive"),
        ({"values": np.array([1, -1, 1, 1, 1], np.float32)}, "not positive"),
        ({"values": np.array([1, 1, np.nan, 1, 1], np.float32)}, "not positive"),
        ({"terms": np.array([4, 1, 5, 0, 5], np.int32)}, "do not ascend"),
        ({"terms": np.array([1, 1, 5, 0, 5], np.int32)}, "do not ascend"),
        ({"terms": np.array([[1, 4, 5, 0, 5]], np.int32)}, "arrays are"),
        ({"dim": np.array([6, 6])}, "no part of term weights"),
        ({"terms": np.array([None] * 5, object)}, "allow_pickle|pickle"),
    ],
)
def test_a_part_that_is_damaged_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    rows = some()
    whole = {"starts": rows.starts, "terms": rows.terms, "values": rows.values, "dim": np.int64(rows.dim)}
    np.savez(tmp_path / "part.npz", **(whole | change))
    with pytest.raises(ValueError, match=message):
        Weights.load(tmp_path / "part.npz")


def test_a_part_of_which_a_byte_was_changed_is_refused_or_read_as_it_is(tmp_path: Path) -> None:
    stream, path = io.BytesIO(), tmp_path / "part.npz"
    some().save(stream)
    whole, refused = stream.getvalue(), 0
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
        try:
            Weights.load(path)
        except (OSError, ValueError):
            refused += 1
    assert refused > len(whole) // 12
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="no part of term weights"):
        Weights.load(path)


def test_more_terms_than_a_trained_model_gives_are_not_kept() -> None:
    many = np.zeros((3, MOST_TERMS + 10), np.float32)
    many[0, :5] = many[1] = many[2, 7] = 1
    gathering = SparseGathering(3, many.shape[1])
    [(place, reason)] = gathering.put(np.array([2, 0, 1]), Weights.of_dense(many)).items()
    assert place == 0
    assert reason.startswith("4,106 terms, more than 4,096")
    assert gathering.result().lengths.tolist() == [0, 1, 5]


def _system(store: Store) -> Any:
    from services.systems.registry import Registry

    return Registry.load(store).get("mine")
