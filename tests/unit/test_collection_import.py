"""What an import makes of good input."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import zstandard
from collection_kit import Kit, live_texts

from services.collections import writer
from services.collections.lock import exclusive
from services.collections.verify import verify_collection
from services.errors import Conflict, UsageError

PASSAGES = "p1\tone two\np2\ttwo three\np3\tthree four\n"


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


def test_ords_and_qords_follow_the_files(kit: Kit) -> None:
    kit.make(
        PASSAGES,
        {"train": "q1\ta\nq2\tb\n", "test": "q3\tc\n"},
        {"train": "q1 0 p3 1\n", "test": "q3 0 p1 2\n"},
    )
    made = kit.open()
    assert made.pids.to_pylist() == ["p1", "p2", "p3"]
    assert made.passage_texts(0, 3) == ["one two", "two three", "three four"]
    assert made.qids == ["q1", "q2", "q3"]
    assert made.split_qords("train", judged_only=False).tolist() == [0, 1]
    assert made.split_qords("train").tolist() == [0]
    assert made.queries("test").texts == ["c"]
    assert made.qrels("train").positives(0).tolist() == [2]
    assert verify_collection(kit.store, "c") == []


def test_a_text_is_kept_as_it_is(kit: Kit) -> None:
    kit.make("p1\t  “Ünïcode” — 漢字 \u00a0\U0001f600 \np2\tx\r\n")
    assert kit.open().passage_texts(0, 2) == ["  “Ünïcode” — 漢字 \u00a0\U0001f600 ", "x"]


def test_title_and_text_are_joined_for_encoding(kit: Kit) -> None:
    kit.make("p1\tTides\tThe sea\np2\t\tNo title\n", columns="pid,title,text")
    assert kit.open().passage_texts(0, 2) == ["Tides The sea", "No title"]


def test_a_header_a_byte_order_mark_and_blank_lines_are_no_rows(kit: Kit) -> None:
    kit.make("\ufeffpid\ttext\np1\tone\n\n  \np2\ttwo\n\n")
    assert kit.open().pids.to_pylist() == ["p1", "p2"]


@pytest.mark.parametrize("suffix", [".gz", ".zst", ""])
def test_compressed_files_are_read(kit: Kit, suffix: str) -> None:
    raw = PASSAGES.encode()
    content = {
        ".gz": gzip.compress(raw[:20]) + gzip.compress(raw[20:]),
        ".zst": zstandard.compress(raw),
        "": raw,
    }[suffix]
    kit.make(content, passages_name=f"p.tsv{suffix}")
    assert kit.open().pids.to_pylist() == ["p1", "p2", "p3"]


def test_grades_below_min_rel_are_neither_positive_nor_negative(kit: Kit) -> None:
    grades = "q 0 p1 0\nq 0 p2 1\nq 0 p3 2\n"
    kit.make(PASSAGES, {"test": "q\ta\n"}, {"test": grades}, min_rel=2)
    qrels = kit.open().qrels("test")
    assert qrels.positives(0).tolist() == [2]
    assert qrels.excluded(0).tolist() == [1, 2]


def test_pooled_judgements_on_passages_that_were_never_there_are_kept_for_evaluation(
    kit: Kit,
) -> None:
    grades = "q 0 p1 2\nq 0 elsewhere 3\nq 0 p2 1\nq 0 nowhere 0\nq 0 elsewhere 3\n"
    assert kit.make(PASSAGES, {"test": "q\ta\n"}, {"test": grades}, min_rel=2).outside == 2
    qrels = kit.open().qrels("test")
    assert qrels.ords.tolist() == [0, 1]
    assert sorted(qrels.grades_outside(0).tolist()) == [0, 3]
    assert verify_collection(kit.store, "c") == []


def test_a_removed_passage_is_not_one_that_the_collection_never_had(kit: Kit) -> None:
    kit.make(PASSAGES, {"test": "q\ta\n"}, {"test": "q 0 p1 2\nq 0 p2 2\n"}, min_rel=2)
    kit.update(delete="p1\n")
    qrels = kit.open().qrels("test")
    assert qrels.ords.tolist() == [1]
    assert qrels.grades_outside(0).tolist() == []


def test_negative_grades_are_allowed_and_not_relevant(kit: Kit) -> None:
    kit.make(PASSAGES, {"test": "q\ta\n"}, {"test": "q 0 p1 -2\nq 0 p2 1\n"})
    qrels = kit.open().qrels("test")
    assert qrels.of(0)[1].tolist() == [-2, 1]
    assert qrels.excluded(0).tolist() == [1]


def test_the_same_judgement_twice_counts_once(kit: Kit) -> None:
    kit.make(PASSAGES, {"test": "q\ta\n"}, {"test": "q 0 p1 1\nq 0 p2 1\nq 0 p1 1\n"})
    assert kit.open().qrels("test").ords.tolist() == [0, 1]


def test_queries_without_a_split_go_where_the_qrels_say(kit: Kit) -> None:
    kit.make(
        PASSAGES,
        {None: "q1\ta\nq2\tb\nq3\tc\nq4\td\n"},
        {"train": "q1\tp1\t1\nq2\tp1\t1\n", "test": "query-id\tcorpus-id\tscore\nq2\tp2\t1\nq3\tp2\t1\n"},
    )
    made = kit.open()
    assert made.split_qords("train", judged_only=False).tolist() == [0, 1]
    assert made.split_qords("test", judged_only=False).tolist() == [1, 2]


def test_an_only_split_has_the_unjudged_queries_too(kit: Kit) -> None:
    kit.make(PASSAGES, {None: "q1\ta\nq2\tb\n"}, {"dev": "q1 0 p1 1\n"})
    assert kit.open().split_qords("dev", judged_only=False).tolist() == [0, 1]


def test_queries_without_split_and_qrels_are_train(kit: Kit) -> None:
    kit.make(PASSAGES, {None: "q1\ta\n"})
    assert list(kit.open().state.splits) == ["train"]


def test_a_query_may_be_in_two_splits(kit: Kit) -> None:
    kit.make(PASSAGES, {"train": "q1\ta\nq2\tb\n", "test": "q2\tb\n"})
    made = kit.open()
    assert made.qids == ["q1", "q2"]
    assert made.split_qords("test", judged_only=False).tolist() == [1]


@pytest.mark.parametrize(
    ("ids", "integers"),
    [
        (("0", "7", "9223372036854775807"), True),
        (("0", "07"), False),
        (("1", "9223372036854775808"), False),
        (("1", "+2"), False),
        (("1", "a"), False),
        (("1", "99999999999999999999"), False),
    ],
)
def test_ids_are_integers_only_if_all_are_canonical_decimal_below_2_63(
    kit: Kit, ids: tuple[str, ...], integers: bool
) -> None:
    kit.make("".join(f"{pid}\ttext\n" for pid in ids), {"test": "1\tq\n"})
    assert kit.open().state.integer_ids is integers


def test_a_qid_that_is_no_integer_makes_all_ids_strings(kit: Kit) -> None:
    kit.make("1\ttext\n", {"test": "q1\tq\n"})
    assert kit.open().state.integer_ids is False


def test_parts_have_fixed_bounds_and_row_groups_and_equal_bytes(
    kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "ROW_GROUP", 16)
    monkeypatch.setattr(writer, "PART_ROWS", 64)
    rows = [f"p{i}\ttext number {i}\n" for i in range(150)]
    kit.make("".join(rows))
    made = kit.open()
    assert [(part.lo, part.hi) for part in made.state.passages] == [(0, 64), (64, 128), (128, 150)]
    first = kit.store.local_path(f"collections/c/passages/{made.state.passages[0].name}")
    assert [pq.ParquetFile(first).metadata.row_group(i).num_rows for i in range(4)] == [16] * 4

    other = Kit(tmp_path / "other")
    other.folder.mkdir()
    other.make("bad\n".join(rows), on_error="skip")  # the bad rows shift every batch
    assert other.open().state.passages == made.state.passages

    for lo, hi in [(0, 150), (15, 17), (60, 70), (127, 129), (149, 150), (16, 16), (140, 400)]:
        expected = [f"text number {i}" for i in range(lo, min(hi, 150))]
        assert made.passage_texts(lo, hi) == expected
    ords = np.array([149, 0, 63, 64, 0], np.int32)
    assert made.texts_of(ords) == [f"text number {i}" for i in ords]


def test_the_same_again_is_fresh(kit: Kit) -> None:
    first = kit.make(PASSAGES, {"test": "q\ta\n"})
    again = kit.make(PASSAGES, {"test": "q\ta\n"})
    assert (first.did, again.did) == ("imported", "fresh")
    assert again.state == first.state


@pytest.mark.parametrize("change", [{"passages": "p1\tother\n"}, {"min_rel": 2}])
def test_other_content_under_a_taken_name_is_a_conflict(kit: Kit, change: dict[str, object]) -> None:
    kit.make(PASSAGES)
    with pytest.raises(Conflict, match="'c' exists already") as caught:
        kit.make(**({"passages": PASSAGES} | change))  # type: ignore[arg-type]
    assert "collection update c" in str(caught.value.hint)


def test_after_an_update_the_first_import_is_no_longer_fresh(kit: Kit) -> None:
    kit.make(PASSAGES)
    kit.update("p9\tnine\n")
    with pytest.raises(Conflict):
        kit.make(PASSAGES)


def test_a_dry_run_checks_everything_and_keeps_nothing(kit: Kit) -> None:
    outcome = kit.make(PASSAGES, dry_run=True)
    assert outcome.state.live_passages == 3
    assert kit.everything() == []


def test_only_one_process_changes_a_collection(kit: Kit) -> None:
    with exclusive(kit.locks, "c"), pytest.raises(Conflict, match=f"process {os.getpid()}"):
        kit.make(PASSAGES)


@pytest.mark.parametrize(
    "name",
    ["", "A", "a b", "-a", "a/b", "..", "x" * 64, "ä", "a\n", "jobs", "chunks", "dead", "marks", "keys",
     "searches", "a-queries", "a-negatives", "a-adhoc", "a-v1", "a-v12",
     "a-v3-queries", "b-queries-v1", "x-queries-queries"],
)  # fmt: skip
def test_a_bad_or_reserved_name_is_refused(kit: Kit, name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        kit.make(PASSAGES, name=name)


@pytest.mark.parametrize("name", ["a", "9", "squad_v2", "a-v1b", "v1", "queries", "x" * 63])
def test_a_good_name_is_taken(kit: Kit, name: str) -> None:
    kit.make(PASSAGES, name=name)


def test_a_killed_import_leaves_no_collection_and_the_next_one_clears_up(kit: Kit) -> None:
    program = f"""
import os, signal
from pathlib import Path
from collection_kit import Kit
from services.collections import change
change.apply_queries = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
Kit(Path({str(kit.folder)!r})).make({PASSAGES!r})
"""
    here = str(Path(__file__).parent)
    killed = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": here}, check=False
    )
    assert killed.returncode == -9
    left = kit.everything()
    assert [path.parts[0] for path in left] == ["passages"]
    kit.make("p1\tanother text\n")
    assert live_texts(kit.open()) == {"p1": "another text"}
    assert not set(left) & set(kit.everything())
