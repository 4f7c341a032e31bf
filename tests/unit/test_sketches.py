"""Sketches in the store: the same as made from the texts, made once, never wrong."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from small_collection import make, update

from services.collections.collection import Collection
from services.encoding.shards import SHARD_ROWS
from services.mining.shingles import sketch
from services.mining.sketches import Sketched, Sketches
from services.store import Store

COUNT = SHARD_ROWS + 104


def text(n: int) -> str:
    return " ".join(f"w{(n * k) % 97}" for k in range(n % 9))


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    passages = {f"p{n}": text(n) or "!" for n in range(COUNT)}
    return make(tmp_path, passages=passages, queries={"train": {"q": "x"}})


def files(collection: Collection) -> dict[str, bytes]:
    store, found = collection.store, {}
    for folder in store.children("collections/small/sketches"):
        key = f"collections/small/sketches/{folder}"
        found |= {name: store.read_bytes(f"{key}/{name}") for name in store.children(key)}
    return found


def agrees(found: Sketched, ords: Iterable[int]) -> bool:
    """Whether these are the sketches of the texts of some ords."""
    expected = [sketch(text(n) or "!") for n in sorted(ords)]
    lists = [found.texts.take(np.array([n])).shingles.tolist() for n in range(len(found.ords))]
    return (
        found.ords.tolist() == sorted(ords)
        and found.digests.tolist() == [one.digest for one in expected]
        and lists == [one.shingles.tolist() for one in expected]
    )


def no_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Collection, *_: object) -> list[str]:
        raise AssertionError("texts are read")

    for name in ("passage_texts", "texts_of"):
        real = getattr(Collection, name)
        monkeypatch.setattr(
            Collection, name,
            lambda self, *which, real=real: real(self, *which) if not len(which[0]) else refuse(self),
        )  # fmt: skip


def test_what_is_kept_is_what_the_texts_say_in_any_order_asked(collection: Collection) -> None:
    wanted = [COUNT - 1, 3, *range(0, SHARD_ROWS, 2), 3]
    for _ in range(2):
        assert agrees(Sketches(collection).of(np.array(wanted)), set(wanted))
        assert len(files(collection)) == 1  # of the second range, one passage of 104 was asked for


def test_a_second_reader_sketches_nothing(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    Sketches(collection).of(np.arange(COUNT))
    assert len(files(collection)) == 2
    no_texts(monkeypatch)
    assert agrees(Sketches(collection).of(np.arange(5, COUNT, 7)), range(5, COUNT, 7))


def test_a_look_at_a_few_passages_stays_cheap_and_a_walk_over_many_keeps_them(collection: Collection) -> None:
    walker = Sketches(collection)
    step = SHARD_ROWS // 8
    for walked, lo in enumerate(range(0, SHARD_ROWS, step)):
        # What was sketched so far, and is to be sketched besides, is no more than was asked for.
        assert bool(files(collection)) == (walked * step >= SHARD_ROWS - step)
        assert agrees(walker.of(np.arange(lo, lo + step)), range(lo, lo + step))
    assert len(files(collection)) == 1


def test_appended_passages_leave_full_ranges_as_they_are(collection: Collection, tmp_path: Path) -> None:
    Sketches(collection).of(np.arange(COUNT))
    before = files(collection)
    later = update(tmp_path, passages={f"p{n}": text(n) or "!" for n in range(COUNT, COUNT + 50)})
    assert agrees(Sketches(later).of(np.arange(COUNT + 50)), range(COUNT + 50))
    new = {name: data for name, data in files(later).items() if name not in before}
    assert [name[:10] for name in new] == [f"{SHARD_ROWS:010d}"]
    assert before.items() <= files(later).items()


def test_equal_texts_give_equal_bytes(collection: Collection) -> None:
    Sketches(collection).of(np.arange(COUNT))
    first = files(collection)
    collection.store.remove("collections/small/sketches")
    for lo in range(0, COUNT, 1000):  # in another order of work
        Sketches(collection).of(np.arange(COUNT)[lo:])
    assert files(collection) == first


@pytest.mark.parametrize("harm", [
    lambda data: data[:100], lambda data: data[:-8], lambda data: b"",
    lambda data: data[: 128 + 8 * SHARD_ROWS] + bytes([255] * 8) + data[136 + 8 * SHARD_ROWS :],
])  # fmt: skip
def test_a_damaged_range_is_made_again(collection: Collection, harm: object) -> None:
    Sketches(collection).of(np.arange(SHARD_ROWS))
    ((name, data),) = files(collection).items()
    (folder,) = collection.store.children("collections/small/sketches")
    collection.store.write_bytes(f"collections/small/sketches/{folder}/{name}", harm(data))  # type: ignore[operator]
    assert agrees(Sketches(collection).of(np.arange(SHARD_ROWS)), range(SHARD_ROWS))
    assert files(collection) == {name: data}


def test_a_store_that_takes_nothing_is_read_all_the_same(
    collection: Collection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: Store, source: Path, key: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Store, "put_file", full)
    sketches = Sketches(collection)
    for _ in range(2):
        assert agrees(sketches.of(np.arange(COUNT)), range(COUNT))
    assert files(collection) == {}
    assert len([one for one in caplog.records if "are not kept: " in one.getMessage()]) == 2  # both ranges
