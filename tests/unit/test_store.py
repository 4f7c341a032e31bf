"""The artefact store: atomic parts, whole manifests, keys that stay inside."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from services.errors import InputError, MsmError
from services.store import Store, fingerprint
from services.store.fingerprint import file_sha256
from services.store.overlay import Overlay


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_a_part_is_named_by_its_content(store: Store) -> None:
    first = store.write_part("a", 0, 2, 2, "bin", lambda stream: stream.write(b"xy") and None)
    again = store.write_part("a", 0, 2, 2, "bin", lambda stream: stream.write(b"xy") and None)
    other = store.write_part("a", 0, 2, 2, "bin", lambda stream: stream.write(b"xz") and None)
    assert first == again
    assert first.name.startswith("part-0000000000-")
    assert other.name != first.name
    assert store.children("a") == sorted({first.name, other.name})
    assert file_sha256(store.local_path(f"a/{first.name}")) == first.sha256


def test_a_failed_write_leaves_nothing(store: Store) -> None:
    def broken(stream: object) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.write_part("a", 0, 1, 1, "bin", broken)
    assert store.children("a") == []


def test_a_manifest_is_replaced_as_a_whole_and_equal_content_gives_equal_bytes(store: Store) -> None:
    store.write_json("m.json", {"b": 1, "a": [1, "ü"]})
    first = store.read_bytes("m.json")
    store.write_json("m.json", {"a": [1, "ü"], "b": 1})
    assert store.read_bytes("m.json") == first
    assert store.read_json("m.json") == {"a": [1, "ü"], "b": 1}


def test_a_missing_manifest_is_none_and_a_damaged_one_is_named(store: Store) -> None:
    assert store.read_json("none.json") is None
    store.write_bytes("bad.json", b'{"a": ')
    with pytest.raises(MsmError, match=r"bad\.json: damaged"):
        store.read_json("bad.json")


@pytest.mark.parametrize("key", ["/etc/passwd", "../x", "a/../../x", "a\0b"])
def test_no_key_leaves_the_store(store: Store, key: str) -> None:
    with pytest.raises(InputError, match="leaves the store"):
        store.read_bytes(key)
    with pytest.raises(InputError, match="leaves the store"):
        store.write_bytes(key, b"")


def test_the_same_code_serves_a_remote_file_system(tmp_path: Path) -> None:
    store = Store("memory://msm-test", cache=tmp_path)
    part = store.write_part("v", 0, 1, 1, "bin", lambda stream: stream.write(b"abc") and None)
    assert not store.is_local
    assert store.local_path(f"v/{part.name}").read_bytes() == b"abc"
    assert store.children("v") == [part.name]
    store.remove("v")
    assert not store.exists(f"v/{part.name}")


def test_removing_what_is_not_there_is_nothing(store: Store) -> None:
    store.remove("no/such/folder")


def test_an_unknown_protocol_is_refused_with_the_address() -> None:
    with pytest.raises(InputError, match="nosuch"):
        Store("nosuch://bucket")


def test_a_fingerprint_ignores_key_order_and_sees_values() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_of_several_who_create_a_manifest_the_first_wins(store: Store) -> None:
    store.create_json("id.json", {"id": 1})
    store.create_json("id.json", {"id": 2})
    assert store.read_json("id.json") == {"id": 1}
    assert store.children("") == ["id.json"]


def test_an_overlay_reads_what_is_below_and_writes_beside_it(store: Store, tmp_path: Path) -> None:
    store.write_json("m/old.json", {"n": 1})
    part = store.write_part("m", 0, 2, 2, "bin", lambda stream: stream.write(b"xy") and None)
    trial = Overlay(store, tmp_path / "trial")
    trial.write_json("m/old.json", {"n": 2})
    trial.write_json("m/new.json", {"n": 3})
    trial.create_json("m/old.json", {"n": 4})
    assert (trial.read_json("m/old.json"), trial.read_json("m/new.json")) == ({"n": 2}, {"n": 3})
    assert trial.children("m") == sorted(["new.json", "old.json", part.name])
    assert trial.local_path(f"m/{part.name}").read_bytes() == b"xy"
    assert (trial.exists("m/new.json"), trial.size(f"m/{part.name}")) == (True, 2)
    assert store.read_json("m/old.json") == {"n": 1}
    assert store.children("m") == sorted(["old.json", part.name])
    assert trial.location("m/new.json") == store.location("m/new.json")
    with pytest.raises(io.UnsupportedOperation):
        trial.remove("m/old.json")
