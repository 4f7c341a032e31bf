"""Negatives that others mined: each list becomes the run of its system, all of them or none."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from services.collections.collection import Collection
from services.errors import Conflict, InputError, UsageError
from services.imports.hard_negatives import NegativesOutcome, NegativesRequest, import_negatives
from services.imports.stored_run import RunWriter
from services.mining.run_list import list_runs
from services.negatives.mined import choose_runs
from services.systems.registry import Registry
from tests.unit.collection_kit import run_main
from tests.unit.import_kit import collection, stored, written
from tests.unit.small_runs import save_run


@pytest.fixture
def small(tmp_path: Path) -> Collection:
    return collection(tmp_path)


def negatives(small: Collection, path: Path, **more: Any) -> NegativesOutcome:
    return import_negatives(small, NegativesRequest(path, "test", **more))


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


NEGATIVES = lines(
    {"qid": "q1", "pos": ["p9"], "neg": {"bm25": ["p3", "p1"], "their-model": ["p4"]}},
    {"qid": "q0", "pos": [], "neg": {"bm25": ["p2"], "their-model": []}},
)


def test_each_list_becomes_the_run_of_its_system(small: Collection, tmp_path: Path) -> None:
    outcome = negatives(small, written(tmp_path, NEGATIVES, "n.jsonl.gz"))
    assert stored(small, "bm25") == {"q0": [("p2", 1, -1.0)], "q1": [("p3", 1, -1.0), ("p1", 2, -2.0)]}
    assert stored(small, "their-model") == {"q1": [("p4", 1, -1.0)]}
    assert [run.system.name for run in choose_runs(small, "test", [])] == ["bm25", "their-model"]
    assert (outcome.queries, outcome.other_positives) == (2, 0)
    assert Registry.load(small.store).get("their-model").is_imported
    assert negatives(small, tmp_path / "n.jsonl.gz").fresh


def test_positives_that_are_none_here_are_counted(small: Collection, tmp_path: Path) -> None:
    text = lines({"qid": "q1", "pos": ["p9", "p8"], "neg": {"bm25": ["p3"]}})
    assert negatives(small, written(tmp_path, text)).other_positives == 1


def test_a_mined_run_is_not_replaced_unasked(small: Collection, tmp_path: Path) -> None:
    save_run(small, "bm25", {"q1": ["p7"]}, split="test")
    path = written(tmp_path, NEGATIVES)
    with pytest.raises(Conflict, match="'bm25' has another run"):
        negatives(small, path)
    assert [row["system"] for row in list_runs(small)] == ["bm25"]
    assert stored(small, "bm25")["q1"][0][0] == "p7"
    negatives(small, path, replace=True)
    assert stored(small, "bm25")["q1"][0][0] == "p3"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"qid": 1}\n', "has no 'pos'"),
        (NEGATIVES + "{\n", ":3: no JSON"),
        (NEGATIVES + NEGATIVES, ":3: query 'q1' is there a second time (first: line 1)"),
        (lines({"qid": "q9", "pos": [], "neg": {}}), "query 'q9' is not in split 'test'"),
        (lines({"qid": "q1", "pos": [], "neg": {"bm25": ["p3", "x"]}}), "the first is 'x'"),
        (
            lines({"qid": "q1", "pos": [], "neg": {"bm25": ["p3", "p3"]}}),
            "there a second time for query 'q1'",
        ),
        (lines({"qid": "q1", "pos": [], "neg": {}}), "holds no list of negatives"),
        (lines({"qid": "q1", "pos": [], "neg": {"a": ["p3"], "a/../b": ["p1"]}}), "cannot be the name"),
    ],
)
def test_broken_negatives_are_named_and_leave_nothing(
    small: Collection, tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises((InputError, UsageError)) as error:
        negatives(small, written(tmp_path, text))
    assert says in error.value.message
    assert list_runs(small) == []


def test_the_command_imports_negatives(
    small: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MSM_HOME", str(tmp_path))
    path = written(tmp_path, NEGATIVES)
    done = run_main(monkeypatch, capsys, "import", "hard-negatives", path, "--split", "test", "--json")
    assert done.code == 0, done.stderr
    assert [run["system"] for run in json.loads(done.stdout)["runs"]] == ["bm25", "their-model"]


def test_what_a_damaged_file_has_lost_is_not_passed_over(small: Collection, tmp_path: Path) -> None:
    negatives(small, written(tmp_path, NEGATIVES))
    before = {name: stored(small, name) for name in ("bm25", "their-model")}
    rows = [
        {"qid": qid, "pos": [], "neg": {"bm25": ["p7"]}, "more": random.Random(qid).randbytes(300_000).hex()}
        for qid in ("q0", "q1", "q2")
    ]
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(lines(*rows).encode())[:-99_999])
    for on_error in ("fail", "skip"):
        with pytest.raises(InputError, match=r"cut\.jsonl\.gz:3: the file ends early") as caught:
            negatives(small, cut, on_error=on_error, replace=True)
        assert "fetch it again" in str(caught.value.hint)
        assert "--on-error skip" not in str(caught.value.hint)
    assert {name: stored(small, name) for name in before} == before


def test_a_new_name_that_reads_like_another_registers_none(small: Collection, tmp_path: Path) -> None:
    text = lines({"qid": "q1", "pos": [], "neg": {"sys.a": ["p3"], "sys-a": ["p1"]}})
    with pytest.raises(InputError, match=r"theirs\.run:1: list 'sys-a': .* reads like 'sys\.a'"):
        negatives(small, written(tmp_path, text))
    assert not [system for system in Registry.load(small.store) if system.is_imported]


@pytest.mark.parametrize("key", ["my system!", "hybrid", "their_model", "their.model", "x" * 5000, "\x1b[2J"])
def test_a_list_whose_key_is_no_name_of_its_own_is_a_bad_row(
    small: Collection, tmp_path: Path, key: str
) -> None:
    text = NEGATIVES + lines({"qid": "q2", "pos": [], "neg": {"bm25": ["p7"], key: ["p1"]}})
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=r"theirs\.run:3: ") as error:
        negatives(small, path)
    assert len(error.value.message) < 500
    assert error.value.message.isprintable()
    outcome = negatives(small, path, on_error="skip")
    assert outcome.rejected == 1
    assert [run["system"] for run in outcome.runs] == ["bm25", "their-model"]
    assert stored(small, "bm25")["q2"] == [("p7", 1, -1.0)]


def test_a_system_without_a_known_passage_is_left_out_and_named(
    small: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, lines({"qid": "q1", "pos": [], "neg": {"good": ["p3"], "other": ["x1", "x2"]}}))
    with pytest.raises(InputError, match="2 passages are not in collection"):
        negatives(small, path)
    outcome = negatives(small, path, on_error="skip", dry_run=True)
    assert ([run["system"] for run in outcome.runs], outcome.left_out) == (["good"], ["other"])
    monkeypatch.setenv("MSM_HOME", str(tmp_path))
    command = ("import", "hard-negatives", path, "--split", "test", "--on-error", "skip")
    done = run_main(monkeypatch, capsys, *command)
    assert "system 'other' is left out: the collection has none of its passages" in done.stderr
    assert stored(small, "good") == {"q1": [("p3", 1, -1.0)]}
    assert [system.name for system in Registry.load(small.store) if system.is_imported] == ["good"]


def test_more_keys_than_there_are_systems_are_refused(small: Collection, tmp_path: Path) -> None:
    text = lines({"qid": "q1", "pos": [], "neg": {f"system-{n}": [] for n in range(101)}})
    with pytest.raises(InputError, match="more than 100 systems"):
        negatives(small, written(tmp_path, text))


@pytest.mark.parametrize("name", ["q\x1b[2J\nerror: all is well", "q" * 5_000_000], ids=["escapes", "long"])
def test_an_id_neither_moves_the_cursor_nor_fills_the_terminal(
    small: Collection, tmp_path: Path, name: str
) -> None:
    for row in ({"qid": name, "pos": [], "neg": {}}, {"qid": "q1", "pos": [], "neg": {"bm25": [name]}}):
        with pytest.raises(InputError) as error:
            negatives(small, written(tmp_path, lines(row)))
        assert error.value.message.isprintable()
        assert len(error.value.message) < 500


@pytest.mark.parametrize("keys", [("bm25", "BM25"), ("their-model", "their_model")])
def test_two_lists_of_one_system_are_an_error(
    small: Collection, tmp_path: Path, keys: tuple[str, str]
) -> None:
    text = lines({"qid": "q1", "pos": [], "neg": {keys[0]: ["p3"], keys[1]: ["p1"]}})
    with pytest.raises(InputError, match=f"'{keys[0]}' and '{keys[1]}' are both the system '{keys[0]}'"):
        negatives(small, written(tmp_path, text))
    assert list_runs(small) == []


def test_killed_while_runs_become_current_the_same_command_finishes_it(
    small: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    negatives(small, written(tmp_path, NEGATIVES))
    other = lines({"qid": "q1", "pos": [], "neg": {"bm25": ["p7"], "their-model": ["p8"]}})
    path = written(tmp_path, other, "other.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "publish", _published_then_killed(RunWriter.publish))
        with pytest.raises(KeyboardInterrupt):
            negatives(small, path, replace=True)
    negatives(small, path, replace=True)
    assert stored(small, "bm25") == {"q1": [("p7", 1, -1.0)]}
    assert stored(small, "their-model") == {"q1": [("p8", 1, -1.0)]}


def _published_then_killed(publish: Any) -> Any:
    def killed(writer: RunWriter, manifest: Any) -> None:
        publish(writer, manifest)
        raise KeyboardInterrupt

    return killed
