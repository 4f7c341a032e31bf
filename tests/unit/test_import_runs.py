"""Runs that others made: they become runs of systems, ranked as the file ranks them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.collections.collection import Collection
from services.errors import Conflict, InputError, NotFound, UsageError
from services.evaluation.evaluate import evaluate
from services.evaluation.measures import parse_measures
from services.evaluation.systems import rankings
from services.evaluation.trec_run import read_run
from services.imports.runs import RunOutcome, RunRequest, import_run
from services.jobs.context import context_for
from services.mining.run_list import list_runs, remove
from services.settings import load
from services.systems.registry import Registry
from tests.unit.collection_kit import Answer, run_main
from tests.unit.export_kit import export
from tests.unit.import_kit import PASSAGES, QUERIES, collection, stored, written

RUN = """\
q1 Q0 p3 1 9.5 theirs
q1 Q0 p1 2 8.5 theirs
q0 Q0 p2 7 1.0 theirs
q0 Q0 p5 3 2.0 theirs
q0 Q0 p4 9 1.0 theirs
"""


@pytest.fixture
def small(tmp_path: Path) -> Collection:
    return collection(tmp_path)


def imported(small: Collection, path: Path, **more: Any) -> RunOutcome:
    return import_run(
        small, RunRequest(path, more.pop("system", "theirs"), more.pop("split", "test"), **more)
    )


def test_the_score_orders_a_trec_run_and_ties_go_to_the_greater_pid(
    small: Collection, tmp_path: Path
) -> None:
    outcome = imported(small, written(tmp_path, RUN))
    assert stored(small) == {
        "q0": [("p5", 1, 2.0), ("p4", 2, 1.0), ("p2", 3, 1.0)],
        "q1": [("p3", 1, 9.5), ("p1", 2, 8.5)],
    }
    assert (outcome.queries, outcome.candidates, outcome.depth, outcome.layout) == (2, 5, 3, "trec")


def test_scores_that_float32_does_not_tell_apart_are_a_tie(small: Collection, tmp_path: Path) -> None:
    text = "q0 Q0 p5 1 87.12345678 a\nq0 Q0 p6 2 87.12345671 a\n"
    imported(small, written(tmp_path, text))
    assert [pid for pid, _, _ in stored(small)["q0"]] == ["p6", "p5"]


def test_a_query_with_more_rows_than_can_be_sorted_is_refused(
    small: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.imports.run_sorter._OF_ONE_QUERY", 2)
    with pytest.raises(InputError, match=r"theirs.run: query 'q0' has more than 2 rows"):
        imported(small, written(tmp_path, RUN))


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        ("q0\tp2\t3\nq0\tp5\t1\nq0\tp4\t2\n", "msmarco"),
        ("q0\tp2\t3\t.5\nq0\tp5\t1\t9.5\nq0\tp4\t2\t8.5\n", "colbert"),
        ("q0\tp5\tquestion 0\ttext one\nq0\tp4\tquestion 0\tx\nq0\tp2\tquestion 0\tx y\n", "top1000"),
    ],
)
@pytest.mark.parametrize("name", ["run.tsv", "run.tsv.gz"])
def test_other_layouts_are_ordered_by_rank_or_by_the_file(
    small: Collection, tmp_path: Path, text: str, layout: str, name: str
) -> None:
    assert imported(small, written(tmp_path, text, name)).layout == layout
    assert [pid for pid, _, _ in stored(small)["q0"]] == ["p5", "p4", "p2"]


runs = st.dictionaries(
    st.sampled_from(sorted(QUERIES)),
    st.dictionaries(st.sampled_from(sorted(PASSAGES)), st.integers(-3, 3), min_size=1),
    min_size=1,
)


@settings(max_examples=40)
@given(lists=runs)
def test_a_run_is_ranked_as_trec_eval_would(small: Collection, tmp_path: Path, lists: Any) -> None:
    lines = [f"{qid} Q0 {pid} 0 {score} x\n" for qid, row in lists.items() for pid, score in row.items()]
    path = written(tmp_path, "".join(sorted(lines, key=hash)))
    imported(small, path, replace=True)
    expected = {small.qids[one.qord]: small.pids_of(one.ords) for one in read_run(path, small).rankings}
    assert {qid: [pid for pid, _, _ in rows] for qid, rows in stored(small).items()} == expected


def test_it_measures_as_the_file_does(
    small: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = RUN + "q2 Q0 unknown 1 5.0 theirs\nq2 Q0 p1 2 4.0 theirs\n"
    path = written(tmp_path, text)
    imported(small, path, on_error="skip")
    monkeypatch.setenv("MSM_HOME", str(tmp_path))
    measures = parse_measures(["RR@10", "nDCG@10", "R@2"])
    context = context_for(load())
    qords = small.split_qords("test")
    of_system = rankings(context, small, "test", "theirs", qords, 10, "exact")
    ours = evaluate(small, "test", "x", measures, of_system)
    theirs = evaluate(small, "test", "x", measures, read_run(path, small).rankings)
    assert ours == theirs
    assert ours.measures["RR@10"] == pytest.approx((1 / 2 + 0 + 1 / 2) / 3)


def test_the_same_again_is_fresh_and_another_run_wants_replace(small: Collection, tmp_path: Path) -> None:
    path = written(tmp_path, RUN)
    imported(small, path)
    assert imported(small, path).fresh
    other = written(tmp_path, "q0 Q0 p7 1 1.0 x\n", "other.run")
    with pytest.raises(Conflict, match="another run on split 'test'"):
        imported(small, other)
    assert len(stored(small)) == 2
    imported(small, other, replace=True)
    assert stored(small) == {"q0": [("p7", 1, 1.0)]}


def test_a_dry_run_keeps_nothing(small: Collection, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    path = written(tmp_path, RUN)
    assert imported(small, path, dry_run=True).candidates == 5
    assert [one for one in sorted(tmp_path.rglob("*")) if one.is_file() and one not in before] == [path]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("q0 Q0 p1 1 2.0\n", ":1: 5 columns, which is no run"),
        (RUN + "q0 Q0 p9 1 2.0\n", ":6: 5 columns, not 6"),
        (RUN + "q0 Q0 p9 1 high x\n", ":6: score 'high' is no finite number"),
        (RUN + "q0 Q0 p9 1 nan x\n", ":6: score 'nan' is no finite number"),
        (RUN + "q0 Q0 p9 1 -1e39 x\n", ":6: score '-1e39' is no finite number of float32"),
        ("q0\tp1\t1\tnan\n", ":1: score 'nan' is no finite number"),
        ("q0\tp1\t1\t0.5\nq0\tp2\t2\tinf\n", ":2: score 'inf' is no finite number"),
        ("q0 p1 first\n", ":1: rank 'first' is no finite number"),
        (RUN + "q0 Q0 p5 1 0.5 x\n", ":6: passage 'p5' is there a second time for query 'q0'"),
        (RUN + "q9 Q0 p5 1 0.5 x\n", ":6: query 'q9' is not in split 'test'"),
        (RUN + "q0 Q0 p99 1 0.5 x\n", ":6: query 'q0': passage 'p99' is not in collection"),
        ("", "is empty"),
    ],
)
def test_broken_runs_are_named_and_leave_nothing(
    small: Collection, tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(InputError) as error:
        imported(small, written(tmp_path, text))
    assert says in error.value.message
    assert error.value.hint
    assert list_runs(small) == []
    assert not (tmp_path / "store" / "collections" / "small" / "runs").exists() or not any(
        path.is_file() for path in (tmp_path / "store" / "collections" / "small" / "runs").rglob("*")
    )


def test_unknown_ids_are_left_out_and_keep_their_rank(small: Collection, tmp_path: Path) -> None:
    text = "q0 Q0 p99 1 9.0 x\nq0 Q0 p5 2 8.0 x\nq8 Q0 p5 1 1.0 x\nq8 Q0 p6 1 1.0 x\n"
    outcome = imported(small, written(tmp_path, text), on_error="skip")
    assert stored(small) == {"q0": [("p5", 2, 8.0)]}
    assert outcome.rejected == 2
    assert outcome.rejects is not None
    lines = [json.loads(line)["line"] for line in Path(outcome.rejects).read_text().splitlines()]
    assert sorted(lines) == [1, 3]


def test_a_passage_that_is_there_twice_can_be_left_out(small: Collection, tmp_path: Path) -> None:
    path = written(tmp_path, "q0\tp5\t1\nq0\tp4\t2\nq0\tp5\t3\nq0\tp2\t4\n")
    with pytest.raises(InputError, match=r":3: passage 'p5' is there a second time for query 'q0'"):
        imported(small, path)
    outcome = imported(small, path, on_error="skip")
    assert (outcome.candidates, outcome.rejected) == (3, 1)
    assert [pid for pid, _, _ in stored(small)["q0"]] == ["p5", "p4", "p2"]
    assert json.loads(Path(outcome.rejects or "").read_text())["line"] == 3


def test_ids_of_any_length_fill_no_memory(small: Collection, tmp_path: Path) -> None:
    path = written(tmp_path, f"q0 Q0 {'p' * 600} 1 1.0 theirs\n")
    with pytest.raises(InputError, match="an id of more than 512 characters"):
        imported(small, path)


def test_a_run_of_another_collection_is_an_error(small: Collection, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds nothing of split 'test'"):
        imported(small, written(tmp_path, "a Q0 b 1 1.0 x\n"), on_error="skip")


def test_a_system_that_is_mined_here_is_no_name_for_a_run(small: Collection, tmp_path: Path) -> None:
    path = written(tmp_path, RUN)
    with pytest.raises(Conflict, match="is the system bm25, which is mined here"):
        imported(small, path, system="BM25")
    with pytest.raises(UsageError):
        imported(small, path, system="hybrid")
    with pytest.raises(NotFound, match="no split 'dev'"):
        imported(small, path, split="dev")


def test_an_imported_system_cannot_be_asked(small: Collection, tmp_path: Path) -> None:
    imported(small, written(tmp_path, RUN))
    with pytest.raises(UsageError, match="known by imported runs only"):
        Registry.load(small.store).retrieving("theirs")


def test_removing_the_last_run_forgets_the_system(small: Collection, tmp_path: Path) -> None:
    imported(small, written(tmp_path, RUN))
    assert [row["system"] for row in list_runs(small)] == ["theirs"]
    assert remove(small, "test", "theirs")["forgotten"] is True
    assert list_runs(small) == []
    with pytest.raises(NotFound):
        Registry.load(small.store).get("theirs")


# -- the command line ----------------------------------------------------------------------------------

Msmctl = Callable[..., Answer]


@pytest.fixture
def msmctl(
    small: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Msmctl:
    monkeypatch.setenv("MSM_HOME", str(tmp_path))
    return partial(run_main, monkeypatch, capsys)


def test_the_commands_import_list_show_and_remove(msmctl: Msmctl, tmp_path: Path) -> None:
    path = written(tmp_path, RUN)
    done = msmctl("run", "import", path, "--system", "theirs", "--json")
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["candidates"] == 5
    assert "fresh, skipped" in msmctl("run", "import", path, "--system", "theirs").stderr
    assert [row["engine"] for row in json.loads(msmctl("run", "ls", "--json").stdout)] == ["imported"]
    shown = json.loads(msmctl("run", "show", "theirs", "--json").stdout)
    assert shown["facts"]["tag"] == "theirs"
    assert msmctl("run", "rm", "theirs").code == 2
    assert json.loads(msmctl("run", "rm", "theirs", "--yes", "--json").stdout)["forgotten"] is True
    assert json.loads(msmctl("run", "ls", "--json").stdout) == []


def test_an_imported_system_is_exported_and_evaluated_but_not_mined_or_encoded(
    msmctl: Msmctl, tmp_path: Path
) -> None:
    msmctl("run", "import", written(tmp_path, RUN), "--system", "theirs")
    out = tmp_path / "n.jsonl"
    done = msmctl("export", "hard-negatives", "-o", out, "--split", "test", "--system", "theirs")
    assert done.code == 0, done.stderr
    rows = {row["qid"]: row["neg"]["theirs"] for row in map(json.loads, out.read_text().splitlines())}
    assert rows == {"q0": ["p5", "p2"], "q1": ["p3", "p1"], "q2": []}
    measured = msmctl("evaluate", "--system", "theirs", "--measure", "RR@10", "--json")
    assert measured.code == 0, measured.stderr
    assert json.loads(measured.stdout)["measures"]["RR@10"] == pytest.approx(0.5 / 3)
    header, row = msmctl("evaluate", "--system", "theirs", "--measure", "RR@10").stdout.splitlines()
    assert dict(zip(header.split("\t"), row.split("\t"), strict=True))["RR@10"] == "0.1667"
    for words in (["mine", "--split", "test"], ["encode"], ["index", "build"]):
        refused = msmctl(*words, "--system", "theirs")
        assert refused.code == 2
        assert "known by imported runs only" in refused.stderr
    assert msmctl("systems", "pull", "theirs").code == 1
    assert "'imported'" in msmctl("systems", "show", "theirs", "--json").stdout.replace('"', "'")


def test_an_import_that_is_killed_at_the_end_leaves_the_run_before(
    small: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(small, written(tmp_path, "q0 Q0 p7 1 1.0 x\n", "before.run"))
    path = written(tmp_path, RUN)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("services.imports.stored_run.make_current", killed)
        with pytest.raises(KeyboardInterrupt):
            imported(small, path, replace=True)
    assert stored(small) == {"q0": [("p7", 1, 1.0)]}
    imported(small, path, replace=True)
    assert len(stored(small)) == 2


def test_a_run_that_is_exported_and_imported_has_its_order_where_scores_tie(
    small: Collection, tmp_path: Path
) -> None:
    """Doubles may tell apart what float32, and so trec_eval, does not."""
    imported(
        small, written(tmp_path, "q0 Q0 p1 1 10.00000002 x\nq0 Q0 p5 2 10.00000001 x\nq0 Q0 p3 3 10 x\n")
    )
    export(small, "trec-run", tmp_path / "out.trec", systems=["theirs"], split="test")
    imported(small, tmp_path / "out.trec", system="again")
    assert [pid for pid, _, _ in stored(small, "theirs")["q0"]] == ["p5", "p3", "p1"]
    assert [pid for pid, _, _ in stored(small, "again")["q0"]] == ["p5", "p3", "p1"]
