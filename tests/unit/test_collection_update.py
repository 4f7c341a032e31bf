"""What an update changes, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from collection_kit import Kit, live_texts
from hypothesis import given, settings
from hypothesis import strategies as st

from services.collections import change
from services.collections.lock import exclusive
from services.collections.verify import verify_collection
from services.errors import Conflict, InputError, NotFound, UsageError


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    made = Kit(tmp_path)
    made.make(
        "p1\tone\np2\ttwo\np3\tthree\n",
        {"train": "q1\ta\nq2\tb\n", "test": "q2\tb\nq3\tc\n"},
        {"train": "q1 0 p1 1\nq2 0 p2 1\n", "test": "q3 0 p3 1\n"},
    )
    return made


def test_a_new_passage_gets_the_next_ord(kit: Kit) -> None:
    outcome = kit.update("p4\tfour\n")
    assert (outcome.did, outcome.new_passages, outcome.tombstones) == ("updated", 1, 0)
    assert kit.open().pids.to_pylist() == ["p1", "p2", "p3", "p4"]


def test_a_changed_passage_gets_a_new_ord_and_its_old_one_a_tombstone(kit: Kit) -> None:
    kit.update("p2\ttwo!\n")
    made = kit.open()
    assert made.pids.to_pylist() == ["p1", "p2", "p3", "p2"]
    assert made.live.tolist() == [True, False, True, True]
    assert made.ords_of(["p2"]).tolist() == [3]
    assert made.qrels("train").positives(1).tolist() == [3]


def test_an_identical_passage_is_left_alone(kit: Kit) -> None:
    outcome = kit.update("p3\tthree\np4\tfour\np1\tone\n")
    assert outcome.new_passages == 1
    assert kit.open().passage_count == 4


def test_a_deleted_passage_gets_a_tombstone_and_its_judgements_no_longer_count(kit: Kit) -> None:
    kit.update(delete="p1\n")
    made = kit.open()
    assert made.live.tolist() == [False, True, True]
    assert made.state.live_passages == 2
    assert made.ords_of(["p1"]).tolist() == [-1]
    assert made.split_qords("train").tolist() == [1]
    assert verify_collection(kit.store, "c") == []


def test_a_deleted_pid_that_comes_back_gets_a_new_ord(kit: Kit) -> None:
    kit.update(delete="p1\n")
    kit.update("p1\tone\n")
    made = kit.open()
    assert made.ords_of(["p1"]).tolist() == [3]
    assert made.qrels("train").positives(0).tolist() == [3]


def test_nothing_different_makes_no_new_state(kit: Kit) -> None:
    before = kit.everything()
    outcome = kit.update("p1\tone\n", {"test": "q3\tc\n"}, {"train": "q1 0 p1 1\nq2 0 p2 1\n"})
    assert outcome.did == "unchanged"
    assert kit.open().state.version == 1
    assert kit.everything() == before


def test_a_changed_query_moves_in_all_its_splits(kit: Kit) -> None:
    kit.update(queries={"train": "q2\tb, put otherwise\n"})
    made = kit.open()
    assert made.qids == ["q1", "q2", "q3", "q2"]
    assert made.live_queries.tolist() == [True, False, True, True]
    assert made.split_qords("train", judged_only=False).tolist() == [0, 3]
    assert made.split_qords("test", judged_only=False).tolist() == [2, 3]
    assert made.split_qords("train").tolist() == [0, 3]


def test_new_queries_join_their_split(kit: Kit) -> None:
    kit.update(queries={"test": "q4\td\n", "dev": "q5\te\n"})
    made = kit.open()
    assert made.split_qords("test", judged_only=False).tolist() == [1, 2, 3]
    assert made.split_qords("dev", judged_only=False).tolist() == [4]


def test_qrels_replace_those_of_their_split_only(kit: Kit) -> None:
    kit.update(qrels={"train": "q1 0 p3 1\n"})
    made = kit.open()
    assert made.qrels("train").qords.tolist() == [0]
    assert made.qrels("train").ords.tolist() == [2]
    assert made.qrels("test").ords.tolist() == [2]


def test_qrels_may_name_what_the_same_update_brings(kit: Kit) -> None:
    kit.update("p9\tnine\n", {"test": "q9\tz\n"}, {"test": "q9 0 p9 1\n"})
    assert kit.open().qrels("test").ords.tolist() == [3]


def test_an_earlier_state_stays_readable(kit: Kit) -> None:
    kit.update("p2\ttwo!\np4\tfour\n", delete="p1\n")
    assert live_texts(kit.open(1)) == {"p1": "one", "p2": "two", "p3": "three"}
    assert live_texts(kit.open(2)) == {"p2": "two!", "p3": "three", "p4": "four"}
    assert kit.open(1).split_qords("train").tolist() == [0, 1]


def test_fingerprints_change_with_what_they_cover(kit: Kit) -> None:
    before = kit.open().state
    kit.update("p4\tfour\n")
    after = kit.open().state
    assert after.passages_fingerprint != before.passages_fingerprint
    assert after.split_fingerprint("train") == before.split_fingerprint("train")


def test_changed_metadata_or_title_is_a_change(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    row = '{"pid":"p%d","text":"t","title":%s,"year":%s}\n'
    rows = [row % (1, '"a"', "1"), row % (2, "null", "2"), row % (3, '"c"', "null")]
    kit.make("".join(rows), passages_name="p.jsonl", fields=("year:integer",))
    changed = rows[0].replace(":1}", ":9}") + rows[1].replace("null", '"b"') + rows[2]
    outcome = kit.update(changed, passages_name="u.jsonl")
    assert (outcome.new_passages, outcome.tombstones) == (2, 2)
    assert kit.open().read_passages(0, 5)["meta.year"].to_pylist() == [1, 2, None, 9, 2]


def test_metadata_is_read_by_name_across_updates_whatever_its_order(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    row = '{"pid":"p%d","text":"t%d","year":%d,"topic":"%s"}\n'
    fields = ("year:integer", "topic:keyword")
    kit.make(row % (1, 1, 1973, "oil"), passages_name="p.jsonl", fields=fields)
    kit.update(row % (2, 2, 1979, "gas"), passages_name="u.jsonl")
    rows = kit.open().read_passages(0, 2)
    assert rows.column_names == [
        "ord",
        "pid",
        "title",
        "text",
        *(f"meta.{name}" for name in kit.open().state.fields),
    ]
    assert rows["meta.year"].to_pylist() == [1973, 1979]
    assert rows["meta.topic"].to_pylist() == ["oil", "gas"]
    taken = kit.open().take_passages(np.array([1, 0], np.int32), ["meta.topic", "pid"])
    assert taken.to_pydict() == {"meta.topic": ["gas", "oil"], "pid": ["p2", "p1"]}


def test_an_integer_collection_that_gets_a_word_as_id_is_none_any_more(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    kit.make("1\tone\n")
    kit.update("2\ttwo\n")
    assert kit.open().state.integer_ids is True
    kit.update("p3\tthree\n")
    assert kit.open().state.integer_ids is False


@pytest.mark.parametrize(
    ("passages", "delete", "where", "found"),
    [
        (None, "p1\np9\n", "delete.txt:2", "pid 'p9' is not in the collection"),
        ("p1\tnew\n", "p1\n", "update.tsv:1", "pid 'p1' is also to be deleted"),
        ("p4\tfour\np4\tfive\n", None, "update.tsv:2", "duplicate pid 'p4'"),
        ("p4\t\n", None, "update.tsv:1", "text is empty"),
    ],
)
def test_bad_input_leaves_the_state_as_it_was(
    kit: Kit, passages: str | None, delete: str | None, where: str, found: str
) -> None:
    before = kit.everything()
    with pytest.raises(InputError) as caught:
        kit.update(passages, delete=delete)
    assert f"{where}: {found}" in caught.value.message or f"{where}: passage" in caught.value.message
    assert found in caught.value.message
    assert kit.everything() == before


def test_bad_rows_of_an_update_can_be_left_out(kit: Kit) -> None:
    outcome = kit.update("p4\tfour\nbad\n", delete="p9\np1\n", on_error="skip")
    assert outcome.rejected == 2
    assert str(outcome.rejects).endswith("rejects/2.jsonl")
    assert live_texts(kit.open()) == {"p2": "two", "p3": "three", "p4": "four"}


def test_a_judgement_on_a_passage_deleted_by_the_same_update_is_unknown(kit: Kit) -> None:
    with pytest.raises(InputError, match="unknown pid 'p1'"):
        kit.update(delete="p1\n", qrels={"train": "q1 0 p1 1\n"})


def test_a_dry_run_tells_and_changes_nothing(kit: Kit) -> None:
    before = kit.everything()
    outcome = kit.update("p2\ttwo!\n", delete="p1\n", dry_run=True)
    assert (outcome.new_passages, outcome.tombstones) == (1, 2)
    assert kit.everything() == before


def test_a_state_written_by_a_killed_update_does_not_count(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(store: object, state: object) -> None:
        kit.store.write_json("collections/c/states/2.json", {"half": True})
        raise KeyboardInterrupt

    monkeypatch.setattr(change, "commit", killed)
    with pytest.raises(KeyboardInterrupt):
        kit.update("p4\tfour\n")
    monkeypatch.undo()
    assert live_texts(kit.open()) == {"p1": "one", "p2": "two", "p3": "three"}
    kit.update("p5\tfive\n")
    assert kit.open().state.version == 2
    assert verify_collection(kit.store, "c") == []


def test_an_update_of_nothing_or_of_no_collection_is_refused(kit: Kit, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to update"):
        kit.update()
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="no collection 'c'"):
        Kit(tmp_path / "empty").update("p1\tone\n")


def test_an_update_waits_for_no_other(kit: Kit) -> None:
    with exclusive(kit.locks, "c"), pytest.raises(Conflict, match="is being changed"):
        kit.update("p4\tfour\n")


pids = st.integers(0, 12).map(lambda i: f"p{i}")
texts = st.sampled_from(["one", "two", "three words here"])
corpora = st.dictionaries(pids, texts, min_size=1)


@settings(max_examples=25)
@given(first=corpora, changes=st.lists(st.tuples(st.dictionaries(pids, texts), st.sets(pids)), max_size=3))
def test_any_updates_end_in_the_same_passages_as_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory,
    first: dict[str, str],
    changes: list[tuple[dict[str, str], set[str]]],
) -> None:
    kit = Kit(tmp_path_factory.mktemp("property"))
    kit.make(_tsv(first))
    expected = dict(first)
    for upsert, delete in changes:
        delete = (delete & set(expected)) - set(upsert)
        if not upsert and not delete:
            continue
        before = kit.open()
        outcome = kit.update(_tsv(upsert) or None, delete="\n".join(sorted(delete)) or None)
        differs = delete or any(expected.get(pid) != text for pid, text in upsert.items())
        expected = {pid: text for pid, text in (expected | upsert).items() if pid not in delete}
        after = kit.open()
        assert outcome.did == ("updated" if differs else "unchanged")
        assert live_texts(after) == expected
        assert after.state.live_passages == len(expected)
        count = before.passage_count
        assert after.passage_texts(0, count) == before.passage_texts(0, count)  # ords never move
        assert after.pids.to_pylist()[:count] == before.pids.to_pylist()
        assert not np.any(after.live[:count] & ~before.live)  # nor come back
    assert verify_collection(kit.store, "c") == []


def _tsv(corpus: dict[str, str]) -> str:
    return "".join(f"{pid}\t{text}\n" for pid, text in corpus.items())
