"""Damaged files of the store: each is named with a remedy, and hides no other collection."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from collection_kit import Answer, Kit, run_main

from services.collections import current
from services.collections.collection import Collection
from services.errors import MsmError, UsageError

Msmctl = Callable[..., Answer]


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    made = Kit(tmp_path)
    made.make("p1\tone\n")
    made.make("p1\tone\n", name="d")
    return made


@pytest.fixture
def msmctl(kit: Kit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Msmctl:
    monkeypatch.setenv("MSM_HOME", str(kit.folder))
    return partial(run_main, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "damaged: name: Field required"),
        ("[]", "damaged: Input should be"),
        ("null", "damaged: Input should be"),
        ("{", "damaged"),
        ('{"name": "c", "other": 1}', "damaged"),
        ('{"schema_version": 99}', "has schema_version 99"),
    ],
)
def test_a_damaged_manifest_is_named_with_a_remedy(kit: Kit, content: str, said: str) -> None:
    kit.store.write_bytes("collections/c/collection.json", content.encode())
    with pytest.raises(MsmError, match=f"collections/c/collection.json: {said}") as caught:
        Collection.open(kit.store, "c")
    assert caught.value.hint


@pytest.mark.parametrize("key", ["collection.json", "states/1.json"])
def test_nothing_is_changed_over_a_damaged_manifest(kit: Kit, key: str) -> None:
    kit.store.write_bytes(f"collections/c/{key}", b"{}")
    before = kit.everything()
    with pytest.raises(MsmError, match=f"{key}: damaged"):
        kit.update("p2\ttwo\n")
    assert kit.everything() == before


def test_an_import_does_not_replace_a_collection_whose_manifest_is_damaged(kit: Kit) -> None:
    kit.store.write_bytes("collections/c/collection.json", b"null")
    before = kit.everything()
    with pytest.raises(MsmError, match=r"collection\.json: damaged"):
        kit.make("p1\tone\n")
    assert kit.everything() == before


def test_the_other_collections_are_still_listed(kit: Kit, msmctl: Msmctl) -> None:
    kit.store.write_bytes("collections/c/collection.json", b"{}")
    listed = msmctl("collection", "ls", "--json")
    assert listed.code == 0
    assert [row["name"] for row in json.loads(listed.stdout)] == ["d"]
    assert "collection c is left out: " in listed.stderr
    assert "c/collection.json: damaged" in listed.stderr
    assert msmctl("collection", "show", "c").code == 1


@pytest.mark.parametrize("command", ["show", "verify"])
def test_the_hint_spells_the_name_as_the_command_takes_it(msmctl: Msmctl, command: str) -> None:
    told = msmctl("collection", command)
    assert told.code == 2
    assert f"`msmctl collection {command} NAME`" in told.stderr
    assert "--collection" not in told.stderr


def test_elsewhere_the_hint_is_the_option(kit: Kit) -> None:
    with pytest.raises(UsageError) as caught:
        current.resolve(kit.store, None)
    assert str(caught.value.hint).startswith("say --collection NAME, or ")


def test_a_folder_as_current_is_named_with_a_remedy(kit: Kit) -> None:
    (kit.folder / "store" / "current").mkdir()
    with pytest.raises(MsmError, match="current: is a folder") as caught:
        current.current(kit.store)
    assert "remove it" in str(caught.value.hint)
    with pytest.raises(MsmError, match="current: is a folder"):
        current.use(kit.store, "c")


def test_a_current_that_is_no_text_is_named_and_use_mends_it(kit: Kit) -> None:
    kit.store.write_bytes("current", b"\xff\xfe")
    with pytest.raises(MsmError, match="current: is no text"):
        current.current(kit.store)
    current.use(kit.store, "c")
    assert current.current(kit.store) == "c"
