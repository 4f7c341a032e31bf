"""Given lists in another order: what is scored, what keeps its place, and what happens to bad input."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from services.collections.bad_row import Rejects
from services.collections.collection import Collection
from services.cross_encoders import models as ce_models
from services.evaluation.trec_run import read_run
from services.reranking import given
from services.reranking.order import lines, reranked
from services.scoring.identity import scored_by
from services.scoring.score_folder import ScoreFolder
from services.scoring.score_parts import Triples, write_stream
from services.scoring.scorer import Scorer
from services.store import Store
from services.systems import models as system_models
from tests.unit.collection_kit import Answer, run_main
from tests.unit.small_collection import make
from tests.unit.tiny_ce import SENTENCES, tiny_ce
from tests.unit.tiny_model import WORDS, tiny_model, with_modules

Msmctl = Callable[..., Answer]
ROOT = Path(__file__).resolve().parents[2]
PASSAGES = {f"p{n}": f"{' '.join(SENTENCES[n % 5].split())} {WORDS[n % 25]} {n}" for n in range(12)}
QUERIES = {f"q{n}": f"why {WORDS[n]} {WORDS[n + 3]}?" for n in range(5)}
# Scores say another order than lines and ranks do; p3 and p10 are equal.
RUN = """\
q1 Q0 p1 1 7.5 first
q1 Q0 p2 9 9.5 first
q0 Q0 p3 1 2.0 first
q1 Q0 p4 3 8.5 first
q0 Q0 p10 2 2.0 first
q0 Q0 p5 3 1.0 first
"""
GIVEN = {"q1": ["p2", "p4", "p1"], "q0": ["p3", "p10", "p5"]}
"""As trec_eval reads it: of equal scores, the greater pid comes first."""


@pytest.fixture(scope="session")
def ce_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_ce(tmp_path_factory.mktemp("ce"), "bert")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_modules(tiny_model(tmp_path_factory.mktemp("model")), normalize=True)


@pytest.fixture
def small(tmp_path: Path, ce_folder: Path, model_folder: Path) -> Collection:
    collection = make(
        tmp_path, passages=PASSAGES, queries={"test": QUERIES}, qrels={"test": [("q1", "p1", 1)]}
    )
    ce_models.add(collection.store, "tiny-ce", str(ce_folder))
    system_models.add(collection.store, "tiny-be", str(model_folder))
    return collection


@pytest.fixture
def msmctl(
    small: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Msmctl:
    monkeypatch.setenv("MSM_HOME", str(tmp_path))
    monkeypatch.setenv("MSM_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "given.trec").write_text(RUN)
    return partial(run_main, monkeypatch, capsys)


def rerank(msmctl: Msmctl, *more: str, run: str = "given.trec", ce: bool = True, code: int = 0) -> Any:
    by = ["--ce", "tiny-ce"] if ce else ["--system", "tiny-be"]
    done = msmctl("rerank", "--run", run, *by, "-o", "out.trec", *more, "--json")
    assert done.code == code, done.stderr
    return json.loads(done.stdout) if code == 0 else json.loads(done.stderr.splitlines()[-1])["error"]


def read(path: str = "out.trec") -> dict[str, list[tuple[str, float]]]:
    found: dict[str, list[tuple[str, float]]] = {}
    raw = Path(path).read_bytes()
    for line in (gzip.decompress(raw) if path.endswith(".gz") else raw).decode().splitlines():
        qid, _, pid, rank, score, _ = line.split()
        found.setdefault(qid, []).append((pid, float(score)))
        assert int(rank) == len(found[qid])
    return found


def logits(folder: Path, qid: str, pids: list[str]) -> dict[str, float]:
    peer = CrossEncoder(str(folder), device="cpu")
    scores = peer.predict([(QUERIES[qid], PASSAGES[pid]) for pid in pids], activation_fn=torch.nn.Identity())
    return dict(zip(pids, scores.tolist(), strict=True))


def by_score(scores: dict[str, float]) -> list[str]:
    return sorted(scores, key=scores.__getitem__, reverse=True)


def test_lists_are_ordered_by_the_cross_encoders_logits(msmctl: Msmctl, ce_folder: Path) -> None:
    result = rerank(msmctl, "--collection", "small")
    assert (result["kind"], result["queries"], result["passages"], result["reranked"]) == (
        "reranking",
        2,
        6,
        6,
    )
    found = read()
    assert list(found) == ["q1", "q0"]  # as the file first names them
    for qid, pids in GIVEN.items():
        expected = logits(ce_folder, qid, pids)
        assert [pid for pid, _ in found[qid]] == by_score(expected)
        assert dict(found[qid]) == pytest.approx(expected, abs=1e-5)


def test_what_lies_beyond_the_depth_keeps_its_order_below(msmctl: Msmctl, ce_folder: Path) -> None:
    rerank(msmctl, "--collection", "small", "--depth", "2")
    for qid, ranked in read().items():
        head, tail = GIVEN[qid][:2], GIVEN[qid][2:]
        assert [pid for pid, _ in ranked] == by_score(logits(ce_folder, qid, head)) + tail
        scores = [score for _, score in ranked]
        assert all(a > b for a, b in itertools.pairwise(scores))


def test_a_reader_of_the_scores_sees_the_order_of_the_ranks(msmctl: Msmctl, small: Collection) -> None:
    rerank(msmctl, "--collection", "small", "--depth", "2")
    order = {qid: [pid for pid, _ in ranked] for qid, ranked in read().items()}
    for ranking in read_run(Path("out.trec"), small).rankings:
        assert small.pids_of(ranking.ords) == order[small.qids[ranking.qord]]


def test_equal_scores_and_missing_ones_have_one_order() -> None:
    one = given.GivenList("q", ["a", "c", "b", "d", "e"])
    scores = np.array([1, np.nan, 1, 2], np.float32)
    assert reranked(one, scores) == [("d", 2.0), ("b", 1.0), ("a", 1.0), ("c", 0.0), ("e", -1.0)]
    assert lines("q", [("a", float(np.float32(0.1)))], "t") == "q Q0 a 1 0.100000001 t\n"


def test_a_top1000_file_brings_its_texts_and_needs_no_collection(msmctl: Msmctl, ce_folder: Path) -> None:
    rows = [
        (qid, pid) for pids in zip(*GIVEN.values(), strict=True) for qid, pid in zip(GIVEN, pids, strict=True)
    ]
    text = "".join(f"{qid}\t{pid}\t{QUERIES[qid]}\t{PASSAGES[pid]}\n" for qid, pid in rows)
    Path("top.tsv.gz").write_bytes(gzip.compress(text.encode()))
    result = rerank(msmctl, run="top.tsv.gz")
    assert result["collection"] is None
    for qid, ranked in read().items():
        expected = logits(ce_folder, qid, GIVEN[qid])
        assert [pid for pid, _ in ranked] == by_score(expected)
        assert dict(ranked) == pytest.approx(expected, abs=1e-5)
    rerank(msmctl, run="top.tsv.gz", ce=False)
    assert set(read()) == set(GIVEN)


@pytest.mark.parametrize("stored", [True, False])
def test_a_bi_encoder_reranks_by_exact_similarity(
    msmctl: Msmctl, model_folder: Path, stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stored:
        assert msmctl("encode", "--collection", "small", "--system", "tiny-be", "--local").code == 0
        monkeypatch.setattr("services.encoding.encoder.load_encoder", lambda *_: pytest.fail("encoded"))
    rerank(msmctl, "--collection", "small", ce=False)
    peer = SentenceTransformer(str(model_folder), device="cpu")
    for qid, ranked in read().items():
        query = peer.encode(QUERIES[qid])
        expected = {pid: float(peer.encode(PASSAGES[pid]) @ query) for pid in GIVEN[qid]}
        assert dict(ranked) == pytest.approx(expected, abs=1e-5)


def test_what_is_scored_already_is_not_computed_again(
    msmctl: Msmctl, small: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    rerank(msmctl, "--collection", "small")
    first = Path("out.trec").read_bytes()
    scored = [("q1", pid, score) for pid, score in read()["q1"]]
    ce, model = _tiny(small.store)
    folder = ScoreFolder(small.store, "small", scored_by(ce, model))
    qords, ords = small.qords_of([q for q, _, _ in scored]), small.ords_of([p for _, p, _ in scored])
    order = np.argsort(ords)
    values = np.array([score for _, _, score in scored], np.float32)
    folder.add(write_stream(folder, [Triples(qords[order], ords[order], values[order])]))
    asked: list[int] = []
    pairs = Scorer.pairs

    def counted(self: Scorer, *given: Any, **how: Any) -> Any:
        asked.append(len(given[2]))
        return pairs(self, *given, **how)

    monkeypatch.setattr(Scorer, "pairs", counted)
    done = msmctl(
        "rerank", "--run", "given.trec", "--ce", "tiny-ce", "-o", "out.trec", "-c", "small", "--force"
    )
    assert "3 of 6 pairs are scored already" in done.stderr
    assert asked == [3]
    assert Path("out.trec").read_bytes() == first


def _tiny(store: Store) -> Any:
    from services.cross_encoders.registry import CrossEncoders

    ce = CrossEncoders.load(store).get("tiny-ce")
    return ce, ce_models.required(store, ce)


def test_the_same_inputs_are_skipped_and_give_the_same_bytes(msmctl: Msmctl) -> None:
    first = rerank(msmctl, "--collection", "small")
    assert not first["fresh"]
    assert rerank(msmctl, "--collection", "small")["fresh"]
    again = rerank(msmctl, "--collection", "small", "--force")
    assert (again["fresh"], again["sha256"]) == (False, first["sha256"])
    assert not rerank(msmctl, "--collection", "small", "--depth", "1")["fresh"]
    Path("out.trec").unlink()
    assert not rerank(msmctl, "--collection", "small", "--depth", "1")["fresh"]
    Path("out.trec").write_text("touched")
    assert not rerank(msmctl, "--collection", "small", "--depth", "1", "--force")["fresh"]


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_the_ending_decides_the_compression(msmctl: Msmctl, small: Collection, ending: str) -> None:
    rerank(msmctl, "--collection", "small")
    done = msmctl("rerank", "--run", "given.trec", "--ce", "tiny-ce", "-o", f"out.{ending}", "-c", "small")
    assert done.code == 0
    plain, packed = (read_run(Path(name), small).rankings for name in ("out.trec", f"out.{ending}"))
    assert [one.ords.tolist() for one in packed] == [one.ords.tolist() for one in plain]


def test_a_dry_run_counts_and_writes_nothing(msmctl: Msmctl) -> None:
    plan = rerank(msmctl, "--collection", "small", "--depth", "2", "--dry-run")
    assert (plan["queries"], plan["passages"], plan["reranked"], plan["stored"]) == (2, 6, 4, 0)
    assert not list(Path().glob("*out*"))


def test_an_unknown_id_is_an_error_that_names_it_before_anything_is_scored(msmctl: Msmctl) -> None:
    Path("given.trec").write_text(RUN + "q1 Q0 nowhere 9 1.5 first\n")
    error = rerank(msmctl, "--collection", "small", code=1)
    assert error["message"] == "given.trec: passage 'nowhere' of query 'q1' is not in collection 'small'"
    assert "--on-error skip" in error["hint"]
    Path("given.trec").write_text(RUN + "nobody Q0 p1 9 1.5 first\n")
    assert "query 'nobody' is not in collection" in rerank(msmctl, "--collection", "small", code=1)["message"]
    assert not list(Path().glob("*out*"))


def test_skipped_unknown_ids_stay_below_all_else(msmctl: Msmctl) -> None:
    Path("given.trec").write_text(
        RUN + "q1 Q0 nowhere 1 99 first\nnobody Q0 p2 1 2 first\nnobody Q0 p1 2 3 first\n"
    )
    result = rerank(msmctl, "--collection", "small", "--on-error", "skip")
    assert (result["passages"], result["reranked"]) == (9, 6)
    found = {qid: [pid for pid, _ in ranked] for qid, ranked in read().items()}
    assert (found["q1"][-1], found["nobody"]) == ("nowhere", ["p1", "p2"])
    done = msmctl("rerank", "--run", "given.trec", "--ce", "tiny-ce", "-o", "again.trec", "-c", "small",
                  "--on-error", "skip")  # fmt: skip
    assert "not in collection 'small', and below all else: 1 query and 1 passage" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("\n\n", "the run is empty"),
        ("q1 Q0 p1 1 high first\n", "given.trec:1: score 'high' is no finite number"),
        (RUN + "q1 Q0 p1\n", "given.trec:7: 3 columns, not 6"),
        (RUN + "q1 Q0 p1 4 1.0 first\n", "given.trec:7: passage 'p1' is there a second time for query 'q1'"),
        ("q1\tp1\twhy\ta\nq1\tp2\twho\ta\n", "given.trec:2: query 'q1' has another text than before"),
        ("q 1\tp1\twhy\ta text\n", "given.trec:1: qid 'q 1' is empty or has white space"),
        ("one two\n", "given.trec:1: 2 columns, which is no run"),
    ],
)  # fmt: skip
def test_bad_lines_are_named_and_nothing_is_written(msmctl: Msmctl, text: str, message: str) -> None:
    Path("given.trec").write_text(text)
    assert message in rerank(msmctl, "--collection", "small", code=1)["message"]
    assert not list(Path().glob("*out*"))


def test_bad_lines_are_left_out_when_asked(msmctl: Msmctl) -> None:
    Path("given.trec").write_text(RUN + "q1 Q0 p1 4 1.0 first\nbroken\n")
    done = msmctl("rerank", "--run", "given.trec", "--ce", "tiny-ce", "-o", "out.trec", "-c", "small",
                  "--on-error", "skip")  # fmt: skip
    assert "2 bad lines are left out" in done.stderr
    assert sum(map(len, read().values())) == 6


def test_what_cannot_be_a_place_or_a_reranker_is_refused(msmctl: Msmctl) -> None:
    def said(*words: str) -> str:
        done = msmctl("rerank", "--run", "given.trec", *words, "-c", "small")
        assert done.code
        return done.stderr

    assert "one of the two" in said("-o", "out.trec")
    assert "one of the two" in said("-o", "out.trec", "--ce", "tiny-ce", "--system", "tiny-be")
    assert "no such folder" in said("-o", "none/out.trec", "--ce", "tiny-ce")
    assert "is the run that is to be reranked" in said("-o", "given.trec", "--ce", "tiny-ce", "--force")
    Path("mine.txt").write_text("precious")
    assert "was not made by" in said("-o", "mine.txt", "--ce", "tiny-ce")
    assert Path("mine.txt").read_text() == "precious"
    assert (
        msmctl("rerank", "--run", "given.trec", "-o", "made.trec", "--ce", "tiny-ce", "-c", "small").code == 0
    )
    Path("made.trec").write_text("mine now")
    assert "has changed since" in said("-o", "made.trec", "--ce", "tiny-ce")
    assert Path("made.trec").read_text() == "mine now"
    assert "has no encoder" in said("-o", "out.trec", "--system", "bm25")
    assert (
        "no such file"
        in msmctl(
            "rerank", "--run", "none.trec", "--ce", "tiny-ce", "-o", "out.trec", "-c", "small"
        ).stderr.lower()
    )


def test_lists_of_many_queries_come_back_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "many.trec"
    pairs = [(f"q{q * 7 % 200}", f"p{p}") for p in range(3) for q in range(200)]
    path.write_text("".join(f"{qid} Q0 {pid} 1 {-n} x\n" for n, (qid, pid) in enumerate(pairs)))
    with given.GivenLists(given.GivenFile(path), Rejects(None)) as lists:
        lists.read()
        found = list(lists)
    assert [one.qid for one in found] == [f"q{q * 7 % 200}" for q in range(200)]
    assert all(one.pids == ["p0", "p1", "p2"] for one in found)


SCRIPT = """
import sys, time
from services.reranking import pairs
from services.scoring.scorer import Scorer
pairs.BATCH = 2
score = Scorer.pairs
def slow(*given, **how):
    time.sleep(0.2)
    return score(*given, **how)
Scorer.pairs = slow
from cli.main import main
main()
"""


def test_killed_it_goes_on_behind_the_last_whole_batch(
    msmctl: Msmctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("given.trec").write_text("".join(f"q{q} Q0 p{p} 1 {-p} x\n" for q in range(5) for p in range(4)))
    command = ["rerank", "--run", "given.trec", "--ce", "tiny-ce", "-c", "small", "-o"]
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *command, "out.trec"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    progress = Path(".out.trec.progress")
    until = time.monotonic() + 60
    while not (progress.exists() and json.loads(progress.read_bytes())["blocks"] >= 2):
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Path("out.trec").exists()
    before = json.loads(progress.read_bytes())["blocks"]
    assert 2 <= before < 5
    monkeypatch.setattr("services.reranking.pairs.BATCH", 2)
    for path in ("whole.trec", "out.trec"):
        assert msmctl(*command, path).code == 0
    assert Path("out.trec").read_bytes() == Path("whole.trec").read_bytes()
    assert sorted(path.name for path in Path().glob("*out.trec*")) == ["out.trec", "out.trec.manifest.json"]


def evaluated(msmctl: Msmctl, *words: str) -> Any:
    done = msmctl("evaluate", *words, "-c", "small", "--split", "test", "--measure", "RR@10", "--json")
    assert done.code == 0, done.stderr
    return json.loads(done.stdout)


def test_an_evaluation_says_whether_it_is_retrieval_or_reranking(msmctl: Msmctl) -> None:
    rerank(msmctl, "--collection", "small")
    assert evaluated(msmctl, "--run", "given.trec")["kind"] == "retrieval"
    assert evaluated(msmctl, "--run", "given.trec", "--reranking")["kind"] == "reranking"
    assert evaluated(msmctl, "--run", "out.trec")["kind"] == "reranking"
    Path("out.trec").write_text(RUN)  # another file under that name
    assert evaluated(msmctl, "--run", "out.trec")["kind"] == "retrieval"


def test_a_system_that_searches_is_not_said_to_rerank(msmctl: Msmctl) -> None:
    done = msmctl("evaluate", "--system", "tiny-be", "-c", "small", "--split", "test", "--reranking")
    assert done.code == 2
    assert "'tiny-be' searches the whole collection" in done.stderr
