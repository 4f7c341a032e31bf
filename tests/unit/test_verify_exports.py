"""What `export` writes, `verify` calls good: every registered format, with integer ids and with text ids."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import click
import pytest

from cli.export import export
from services.exports.registry import FORMATS
from tests.unit.collection_kit import run_main
from tests.unit.small_collection import make

WORDS = ["moon", "river", "dew", "thunder", "sand", "ice", "fog", "hail", "reef", "cave", "lava", "wind"]


def prepare(folder: Path, prefix: str) -> None:
    """A collection with the runs of a system and the scores of a cross-encoder, in files to import."""
    pids = [f"{prefix}{n}" for n in range(60)]
    qids = [f"{prefix}{n}" for n in range(100, 106)]
    make(
        folder,
        passages={
            pid: f"Passage {n} is about {WORDS[n % 12]} and number {n * n}." for n, pid in enumerate(pids)
        },
        queries={"train": {qid: f"What about {WORDS[n]}?" for n, qid in enumerate(qids)}},
        qrels={"train": [(qid, pids[n], 1) for n, qid in enumerate(qids)]},
    )
    rows = [
        f"{qid} Q0 {pid} 1 {99 - (m + n) % 60}.0 x\n"
        for m, qid in enumerate(qids)
        for n, pid in enumerate(pids)
    ]
    (folder / "run.trec").write_text("".join(rows))
    scores = {
        qid: {pid: 9.0 if m == n else -float(n) for n, pid in enumerate(pids)} for m, qid in enumerate(qids)
    }
    (folder / "scores.pkl").write_bytes(pickle.dumps(scores))


@pytest.mark.parametrize("prefix", ["", "p"], ids=["integers", "texts"])
@pytest.mark.parametrize("name", FORMATS)
def test_what_is_exported_is_good(
    tmp_path: Path,
    name: str,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def msmctl(*words: str | Path, code: int = 0) -> str:
        done = run_main(monkeypatch, capsys, *words)
        assert done.code == code, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    monkeypatch.setenv("MSM_HOME", str(tmp_path))
    prepare(tmp_path, prefix)
    msmctl("run", "import", tmp_path / "run.trec", "--split", "train", "--system", "theirs")
    msmctl("import", "scores-pickle", tmp_path / "scores.pkl", "--name", "teacher")
    options = [option.opts[0] for option in _command(name).params]
    out = tmp_path / "out" if FORMATS[name].folder else tmp_path / FORMATS[name].example
    words = ["export", name, "-o", str(out)]
    words += ["--ce", "teacher"] if "--ce" in options else []
    words += ["--filter", "ce-margin=1.0"] if name.startswith("triplet-hard") else []
    msmctl(*words)
    report = json.loads(msmctl("verify", out, "--json"))
    assert report["ok"], report
    assert report["lines"] > 0
    changed = next(path for path in sorted(out.rglob("*")) if not _about(path)) if out.is_dir() else out
    changed.write_bytes(changed.read_bytes()[:-1] + b"!")  # as long as before
    for place in {out, changed}:
        found = json.loads(msmctl("verify", place, "--json", code=1))
        assert found["findings"]["changed"] == 1
        assert found["examples"][0]["path"] == str(changed)


def _about(path: Path) -> bool:
    return path.is_dir() or path.name.endswith((".manifest.json", ".md"))


def _command(name: str) -> click.Command:
    return export.commands[name]
