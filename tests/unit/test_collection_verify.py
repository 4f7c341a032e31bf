"""`collection verify` finds every damage; the current collection is resolved clearly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from collection_kit import Kit

from services.collections import current
from services.collections.remover import remove_collection
from services.collections.state import CollectionState
from services.collections.verify import verify_collection
from services.collections.writer import commit, write_positions, write_table
from services.errors import Conflict, NotFound, UsageError


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    made = Kit(tmp_path)
    made.make("p1\tone\np2\ttwo\n", {"test": "q1\ta\n"}, {"test": "q1 0 p1 1\n"})
    return made


def findings(kit: Kit) -> str:
    return "\n".join(f"{finding.where}: {finding.found}" for finding in verify_collection(kit.store, "c"))


def part(kit: Kit, table: str) -> Path:
    (path,) = (kit.folder / "store/collections/c" / table).iterdir()
    return path


def test_a_whole_collection_has_no_findings(kit: Kit) -> None:
    assert verify_collection(kit.store, "c") == []


@pytest.mark.parametrize("table", ["passages", "queries", "splits", "qrels"])
def test_a_changed_byte_a_short_part_and_a_missing_one_are_found(kit: Kit, table: str) -> None:
    path = part(kit, table)
    raw = path.read_bytes()
    path.write_bytes(raw[:50] + bytes([raw[50] ^ 1]) + raw[51:])
    assert path.name in findings(kit)
    assert "sha256" in findings(kit)
    path.write_bytes(raw[:-4])
    assert "sha256" in findings(kit)
    path.unlink()
    assert "the part is missing" in findings(kit)


def test_a_missing_state_file_is_found(kit: Kit) -> None:
    kit.store.remove("collections/c/states/1.json")
    assert "own file is missing" in findings(kit)


def _recommit(kit: Kit, **changes: object) -> None:
    commit(kit.store, kit.open().state.model_copy(update=changes))


def _live_twice(kit: Kit) -> CollectionState:
    kit.update("p1\tone!\n")
    return kit.open().state.model_copy(update={"tombstones": [], "live_passages": 3})


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda kit: _recommit(kit, live_passages=7), "live_passages is 7, but 2 are live"),
        (
            lambda kit: _recommit(kit, passage_count=3, live_passages=3),
            "2 ords given out, but the manifest says 3",
        ),
        (
            lambda kit: _recommit(kit, query_count=2, live_queries=2),
            "1 qords given out, but the manifest says 2",
        ),
        (lambda kit: commit(kit.store, _live_twice(kit)), "pid 'p1' is live twice"),
        (
            lambda kit: _recommit(
                kit,
                splits={"test": write_positions(kit.store, "c", "splits", "qord", pa.array([5], pa.int32()))},
            ),
            "splits/test: names qord 5 of 1",
        ),
        (
            lambda kit: _recommit(
                kit,
                qrels={
                    "test": write_table(
                        kit.store,
                        "c",
                        "qrels",
                        pa.table({"qid": ["q1"], "pid": ["p9"], "grade": pa.array([1], pa.int32())}),
                        0,
                        1,
                    )
                },
            ),
            "qrels/test: 1 pids are not in the collection, such as 'p9'",
        ),
    ],
)
def test_a_manifest_that_disagrees_with_its_parts_is_found(
    kit: Kit, damage: Callable[[Kit], None], found: str
) -> None:
    damage(kit)
    assert found in findings(kit)


def test_parts_in_the_wrong_order_are_found(kit: Kit) -> None:
    kit.update("p3\tthree\n")
    _recommit(kit, passages=kit.open().state.passages[::-1])
    assert "ord does not run from 0" in findings(kit)


def test_the_only_collection_is_meant_when_none_is_named(kit: Kit) -> None:
    assert current.resolve(kit.store, None) == "c"


def test_of_several_the_one_in_use_is_meant(kit: Kit) -> None:
    kit.make("p1\tone\n", name="d")
    with pytest.raises(UsageError, match="which collection") as caught:
        current.resolve(kit.store, None)
    assert "c, d" in caught.value.message
    current.use(kit.store, "d")
    assert current.resolve(kit.store, None) == "d"
    assert current.resolve(kit.store, "c") == "c"


def test_a_removed_collection_is_no_longer_current(kit: Kit) -> None:
    kit.make("p1\tone\n", name="d")
    current.use(kit.store, "d")
    remove_collection(kit.store, "d", kit.locks)
    assert current.existing(kit.store) == ["c"]
    assert current.resolve(kit.store, None) == "c"
    assert not (kit.folder / "store/collections/d").exists()


def test_an_unknown_name_is_answered_with_near_ones(kit: Kit) -> None:
    kit.make("p1\tone\n", name="squad")
    with pytest.raises(NotFound) as caught:
        current.resolve(kit.store, "squat")
    assert "squad" in str(caught.value.hint)


def test_no_collection_at_all_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        current.resolve(Kit(tmp_path).store, None)
    assert "msmctl collection import" in str(caught.value.hint)


def test_a_collection_that_is_being_changed_is_not_removed(kit: Kit) -> None:
    from services.collections.lock import exclusive

    with exclusive(kit.locks, "c"), pytest.raises(Conflict):
        remove_collection(kit.store, "c", kit.locks)
