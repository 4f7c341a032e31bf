"""`systems convert`: pickled weights become safetensors without anything of the pickle being run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_model import tiny_model

from services.errors import Conflict, InputError
from services.models.convert import convert
from services.store import Store
from services.store.fingerprint import file_sha256
from services.systems.models import add


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    """A model folder of the old kind, with a tied tensor."""
    folder = tiny_model(tmp_path / "old")
    weights = load_file(folder / "model.safetensors")
    weights["tied"] = weights["embeddings.word_embeddings.weight"]
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def test_the_converted_folder_holds_the_same_tensors_under_a_pinned_hash(
    pickled: Path, tmp_path: Path
) -> None:
    made = convert(pickled, tmp_path / "new")
    old = torch.load(pickled / "pytorch_model.bin", weights_only=True)
    new = load_file(tmp_path / "new" / "model.safetensors")
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)
    assert made.target_sha256 == file_sha256(tmp_path / "new" / "model.safetensors")
    assert json.loads((tmp_path / "new" / "conversion.json").read_text()) == made.model_dump()
    add(Store(str(tmp_path / "store")), "converted", str(tmp_path / "new"), pooling="cls", similarity="dot")


def test_a_checkpoint_with_code_is_refused_and_the_code_not_run(pickled: Path, tmp_path: Path) -> None:
    mark = tmp_path / "executed"

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {mark}",)

    torch.save({"weight": Payload()}, pickled / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"refused: pytorch_model.bin: asks for '[a-z]+.system'") as raised:
        convert(pickled, tmp_path / "new")
    assert "weights_only" not in f"{raised.value} {raised.value.hint}"
    assert not mark.exists()
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("content", [b"", b"not a pickle at all", b"\x80\x02j\x05\x9c\x6a\x0a."])
def test_a_damaged_checkpoint_is_refused(pickled: Path, tmp_path: Path, content: bytes) -> None:
    (pickled / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(InputError, match=r"refused: .*not a checkpoint of tensors, or damaged") as raised:
        convert(pickled, tmp_path / "new")
    assert raised.value.hint


def test_an_existing_target_is_left_alone(pickled: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    with pytest.raises(Conflict, match="exists"):
        convert(pickled, tmp_path / "new")


def test_a_folder_without_bin_weights_has_nothing_to_convert(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="safetensors already"):
        convert(tiny_model(tmp_path / "fine"), tmp_path / "new")
