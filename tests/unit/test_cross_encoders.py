"""Cross-encoders: the registry, what a folder must be, copies in the store, and the commands."""

from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner
from tiny_ce import TEMPLATE, tiny_ce
from tiny_model import tiny_model, with_modules

from cli.main import root
from services.cross_encoders.cross_encoder import Template
from services.cross_encoders.models import add, installed, pull, required
from services.cross_encoders.registry import CrossEncoders
from services.errors import Conflict, InputError, NotFound, UsageError
from services.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "home" / "store"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return tiny_ce(tmp_path_factory.mktemp("plain"), "bert")


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    return tiny_ce(tmp_path_factory.mktemp("decoder"), "qwen")


@pytest.fixture
def folder(plain, tmp_path):
    """A copy of `plain` that a test may change."""
    return shutil.copytree(plain, tmp_path / "model")


def changed(folder, **values):
    path = folder / "config.json"
    config = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return folder


def test_the_published_cross_encoders_are_known_with_figures_and_their_source(store):
    known = {ce.name: ce for ce in CrossEncoders.load(store)}
    small = known["ms-marco-MiniLM-L6-v2"]
    assert (small.margin, small.max_length, small.kind) == (3.0, 512, "encoder")
    assert [(score.value, score.source.startswith("https://")) for score in small.scores] == [
        (0.743, True),
        (0.3901, True),
    ]
    assert {name for name, ce in known.items() if ce.margin == 3.0} == {
        f"ms-marco-MiniLM-L{layers}-v2" for layers in (2, 4, 6, 12)
    }
    assert known["Qwen3-Reranker-0.6B"].template.suffix.startswith("<|im_end|>")


@pytest.mark.parametrize("spelt", ["cross-encoder/ms-marco-MiniLM-L-6-v2", "MS_MARCO_MiniLM-L6-v2"])
def test_a_name_resolves_in_any_spelling(store, spelt):
    assert CrossEncoders.load(store).get(spelt).name == "ms-marco-MiniLM-L6-v2"


def test_an_unknown_name_has_the_nearest_and_the_commands(store):
    with pytest.raises(NotFound, match="no cross-encoder 'ms-marco-MiniLM-L9'; near: ms-m") as unknown:
        CrossEncoders.load(store).get("ms-marco-MiniLM-L9")
    assert "msmctl ce ls" in unknown.value.hint


def test_a_folder_is_copied_and_a_worker_finds_it(store, plain):
    ce, model = add(store, "mine", str(plain), margin=1.5)
    assert CrossEncoders.load(store).get("mine") == ce.model_copy(update={"order": 8})
    assert installed(store, ce) == required(store, ce) == model
    assert model.folder == f"cross_encoders/models/mine@{model.fingerprint[:12]}"
    assert not model.damaged(store)


def test_a_system_and_a_cross_encoder_may_have_one_name(store, plain, tmp_path):
    from services.systems.models import add as add_system
    from services.systems.models import installed as installed_system

    ce, model = add(store, "both", str(plain))
    encoder = with_modules(tiny_model(tmp_path / "encoder"))
    system, _ = add_system(store, "both", str(encoder), similarity="dot")
    assert installed(store, ce) == model
    assert installed_system(store, system).own.pooling == "mean"


def test_a_registered_one_takes_a_folder(store, folder):
    ce = CrossEncoders.load(store).get("ms-marco-TinyBERT-L2-v2")
    with pytest.raises(NotFound, match="is not in") as missing:
        required(store, ce)
    assert missing.value.hint == "`msmctl ce pull ms-marco-TinyBERT-L2-v2` (or `… --from FOLDER`)"
    assert pull(store, ce, str(folder)).source == str(folder)


def test_a_bi_encoder_is_refused(store, tmp_path):
    model = tiny_model(tmp_path / "encoder")
    with pytest.raises(InputError, match="its architecture is BertModel, which has no head") as plain:
        add(store, "wrong", str(model))
    assert "msmctl systems add" in plain.value.hint
    with pytest.raises(InputError, match=r"encodes texts one by one \(Transformer, Pooling\)"):
        add(store, "wrong", str(with_modules(model)))
    assert "wrong" not in {ce.name for ce in CrossEncoders.load(store)}


def test_more_than_one_label_is_refused(store, tmp_path):
    with pytest.raises(InputError, match="it has 3 labels instead of one score"):
        add(store, "wrong", str(tiny_ce(tmp_path / "three", "bert", labels=3)))


def test_code_of_the_models_own_is_refused(store, folder):
    with pytest.raises(InputError, match="asks for code of its own"):
        add(store, "wrong", str(changed(folder, auto_map={"AutoModel": "evil.py"})))


def test_a_default_prompt_is_refused(store, folder):
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "q: "}, "default_prompt_name": "query"})
    )
    with pytest.raises(InputError, match="names a default prompt"):
        add(store, "wrong", str(folder))


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("tokenizer.json", "no tokenizer"),
        ("model.safetensors", "no weights"),
        ("config.json", "config.json: missing"),
    ],
)
def test_an_incomplete_folder_says_what_is_missing(store, folder, missing, message):
    (folder / missing).unlink()
    with pytest.raises(InputError, match=message):
        add(store, "wrong", str(folder))


def test_cut_off_weights_are_noticed_before_anything_is_copied(store, folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        add(store, "wrong", str(folder))
    assert not store.children("cross_encoders")


def test_a_config_without_sizes_is_refused(store, folder):
    with pytest.raises(InputError, match="'hidden_size': is missing"):
        add(store, "wrong", str(changed(folder, hidden_size=None)))


def test_a_decoder_needs_a_template(store, decoder):
    with pytest.raises(InputError, match="a decoder needs a template"):
        add(store, "words", str(decoder))
    ce, model = add(store, "words", str(decoder), template=Template(**TEMPLATE))
    assert (ce.kind, model.own.kind) == ("decoder", "decoder")


def test_a_folder_of_the_other_kind_is_refused(store, plain):
    ce = CrossEncoders.load(store).get("Qwen3-Reranker-0.6B")
    with pytest.raises(InputError, match="the entry says decoder, the model's own files say encoder"):
        pull(store, ce, str(plain))


def test_a_taken_or_impossible_name_is_refused(store, plain):
    add(store, "mine", str(plain))
    with pytest.raises(Conflict, match="cross-encoder 'mine' exists already"):
        add(store, "mine", str(plain))
    assert add(store, "mine", str(plain), margin=2.0, replace=True)[0].margin == 2.0
    with pytest.raises(Conflict, match="exists already"):
        add(store, "ms-marco-MiniLM-L6-v2", str(plain), replace=True)
    with pytest.raises(Conflict, match="reads like 'ms-marco-MiniLM-L6-v2'"):
        add(store, "ms_marco_minilm_l6_v2", str(plain))
    with pytest.raises(UsageError, match="cannot be the name of a cross-encoder"):
        add(store, "a b", str(plain))


# -- commands ------------------------------------------------------------------------------------------


@pytest.fixture
def msmctl(tmp_path):
    def call(*arguments, code=0):
        done = CliRunner().invoke(root, ["--home", str(tmp_path / "home"), *map(str, arguments)])
        assert done.exit_code == code, done.output
        return done.stdout if code == 0 else f"{done.exception} {getattr(done.exception, 'hint', '')}"

    return call


def test_ls_shows_all_with_their_margins(msmctl):
    lines = [line.split("\t") for line in msmctl("ce", "ls").splitlines()]
    assert lines[0] == ["name", "kind", "max_length", "margin", "fingerprint"]
    assert ["ms-marco-MiniLM-L6-v2", "encoder", "512", "3.0", ""] in lines


def test_add_show_pull_and_verify(msmctl, plain, tmp_path):
    added = json.loads(msmctl("ce", "add", "mine", "--model", plain, "--margin", "2.5", "--json"))
    assert (added["margin"], added["profile"]["max_length"]) == (2.5, 96)
    assert json.loads(msmctl("ce", "show", "mine", "--json")) == added
    pulled = json.loads(msmctl("ce", "pull", "ms-marco-electra-base", "--from", plain, "--json"))
    assert (pulled["ce"], pulled["source"]) == ("ms-marco-electra-base", str(plain))
    report = json.loads(msmctl("ce", "verify", "mine", "--json"))
    assert (report["problems"], report["device"]) == ([], "cpu")
    assert report["answer"] != report["other"]


def test_verify_finds_damage_and_says_what_to_do(msmctl, plain, tmp_path):
    msmctl("ce", "add", "mine", "--model", plain)
    (file,) = (tmp_path / "home").rglob("model.safetensors")
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    said = msmctl("ce", "verify", "mine", code=1)
    assert "model.safetensors: sha256 differs" in said
    assert "msmctl ce pull mine" in said


def test_a_decoder_is_added_with_the_template_of_another(msmctl, decoder):
    added = json.loads(
        msmctl("ce", "add", "mine", "--model", decoder, "--template-of", "Qwen3-Reranker-0.6B", "--json")
    )
    assert added["template"]["yes"] == "yes"
    said = msmctl("ce", "add", "other", "--model", decoder, "--template-of", "ms-marco-MiniLM-L6-v2", code=1)
    assert "a decoder needs a template" in said
    assert "--template-of" in said
