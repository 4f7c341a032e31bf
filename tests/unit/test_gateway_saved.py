"""Saved aliases, as a gateway remembers them while the store changes and breaks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.errors import MsmError
from services.gateway.saved import Aliases, Saved, load, remove, save
from services.store import Store


def saved(alias: str, fusion: str | None = None) -> Saved:
    return Saved(alias=alias, collection="squad", mode="hybrid", fusion=fusion)


def read(aliases: Aliases) -> Aliases:
    asyncio.run(aliases.read())
    return aliases


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path))
    save(store, saved("msm-squad"))
    save(store, saved("msm-news"))
    return store


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"alias": 3}', b"[" * 100_000, b"\xff"])
def test_a_damaged_file_hides_no_other_alias(store: Store, damage: bytes) -> None:
    store.write_bytes("gateway/msm-news.json", damage)
    aliases = read(Aliases(store))
    assert aliases.get("msm-squad") == saved("msm-squad")
    assert aliases.get("msm-news") is None


def test_an_alias_whose_file_is_damaged_later_stays_as_it_was(store: Store) -> None:
    aliases = read(Aliases(store))
    store.write_bytes("gateway/msm-news.json", b"{")
    save(store, saved("msm-squad", "rrf"))
    read(aliases)
    assert aliases.get("msm-news") == saved("msm-news")
    assert aliases.get("msm-squad") == saved("msm-squad", "rrf")


def test_a_removed_alias_is_forgotten(store: Store) -> None:
    aliases = read(Aliases(store))
    remove(store, "msm-news")
    assert read(aliases).get("msm-news") is None


def test_a_store_that_fails_in_its_own_words_leaves_all_as_they_were(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise RuntimeError("no such region")

    aliases = read(Aliases(store))
    monkeypatch.setattr(store, "children", failing)
    read(aliases)
    assert aliases.get("msm-squad") == saved("msm-squad")
    assert "no such region" in caplog.text


def test_a_person_is_told_which_file_is_damaged(store: Store) -> None:
    store.write_bytes("gateway/msm-news.json", b'{"alias": 3}')
    with pytest.raises(MsmError, match=r"msm-news\.json: damaged"):
        load(store)


def test_another_damaged_file_does_not_keep_an_alias(store: Store) -> None:
    store.write_bytes("gateway/msm-news.json", b"{")
    assert remove(store, "msm-squad") == saved("msm-squad")
