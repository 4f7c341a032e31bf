"""Every command of docs/negatives.md works, in the order of the page, on runs and scores that are made up."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from small_runs import save_run
from small_scores import save_scores

from services.collections.collection import Collection
from services.store import Store
from tests.conftest import ROOT, Stack
from tests.integration.conftest import SAMPLES, Shell

PAGE = ROOT / "docs" / "negatives.md"
COMMANDS = re.findall(r"^\$ (msmctl .*)$", PAGE.read_text("utf-8"), re.MULTILINE)
TAS_B = "msmarco-distilbert-base-tas-b"


def judge(store: Store, name: str) -> None:
    """Two runs and the scores of a cross-encoder: what stands higher in the list scores higher."""
    collection = Collection.open(store, name)
    pids = collection.pids.to_pylist()
    qids = [collection.qids[qord] for qord in collection.split_qords("train")]
    for system, order in (("bm25", pids), (TAS_B, pids[::-1])):
        save_run(collection, system, dict.fromkeys(qids, order))
    save_scores(collection, {(qid, pid): 12.0 - n for qid in qids for n, pid in enumerate(pids)})


def test_every_command_of_the_page(stack: Stack, shell: Shell, tmp_path: Path, unique: str) -> None:
    own = Shell(tmp_path)
    given = ["--passages", SAMPLES / "passages.tsv", "--queries", f"train={SAMPLES / 'queries.train.tsv'}",
             "--qrels", f"train={SAMPLES / 'qrels.train.tsv'}"]  # fmt: skip
    own.msmctl("collection", "import", unique, *given)
    judge(Store(stack.settings.store_url), unique)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.collections.current.current", lambda store: unique)
        for command in COMMANDS:
            text, _, comment = command.partition(" # ")
            code = re.match(r"exit code (\d+)", comment)
            own.msmctl(*shlex.split(text)[1:], code=int(code[1]) if code else 0)
    own.msmctl("collection", "rm", unique, "--yes")
