"""Which models are loaded: once however many ask, the present one of a name, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from batching_kit import Noting, held
from tiny_model import poisoned, tiny_model, with_modules

from services.deadline import Deadline
from services.errors import InputError, MsmError, NotFound
from services.inference import shelf
from services.inference.local import LocalModels
from services.settings import Settings
from services.store import Store
from services.systems.models import add

NEVER = Deadline()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def installed(store: Store, folder: Path, name: str, seed: int = 0, *, replace: bool = False) -> str:
    """A tiny system in the store; its checkpoint."""
    made = with_modules(tiny_model(folder / f"{name}{seed}", seed=seed))
    added = add(store, name, str(made), pooling="mean", similarity="cosine", max_length=16, replace=replace)
    return added[1].fingerprint


def asked(
    store: Store, tmp_path: Path, ask: Callable[[LocalModels], Awaitable[None]], **settings: int
) -> None:
    async def run() -> None:
        made = Settings(home=tmp_path, device="cpu", threads=1).model_copy(update=settings)
        models = LocalModels(made, store)
        try:
            await ask(models)
        finally:
            await models.close()

    asyncio.run(run())


def test_many_who_ask_at_once_wait_for_one_load(store: Store, tmp_path: Path) -> None:
    installed(store, tmp_path, "one")

    async def ask(models: LocalModels) -> None:
        runners = await asyncio.gather(*(models.shelf.encoder("one") for _ in range(5)))
        assert len({id(runner) for runner in runners}) == 1

    asked(store, tmp_path, ask)


def test_all_spellings_of_a_name_are_one_model(store: Store, tmp_path: Path) -> None:
    installed(store, tmp_path, "one-L-6")

    async def ask(models: LocalModels) -> None:
        spellings = ("one-L-6", "ONE-l6", "one_L-6", "msmarco-one-L6", "their/one-L-6", "a/b/one-L-6")
        runners = [await models.shelf.encoder(name) for name in spellings]
        runners += await asyncio.gather(*(models.shelf.encoder(f"{n}/one-L-6") for n in range(5)))
        assert len({id(runner) for runner in runners}) == 1
        assert list(models.shelf.loaded) == [("system", "one-L-6")]

    asked(store, tmp_path, ask)


def test_a_name_that_nobody_has_is_refused_in_all_its_spellings_at_once(store: Store, tmp_path: Path) -> None:
    async def ask(models: LocalModels) -> None:
        for name in ("nobody", "Nobody", "their/nobody"):
            with pytest.raises(NotFound):
                await models.shelf.encoder(name)
        assert list(models.shelf._refused) == [("system", "nobody")]

    asked(store, tmp_path, ask)


def test_who_goes_away_does_not_end_the_load_for_the_others(store: Store, tmp_path: Path) -> None:
    installed(store, tmp_path, "one")

    async def ask(models: LocalModels) -> None:
        gone, stays = (asyncio.create_task(models.shelf.encoder("one")) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        assert (await stays).name == "one"

    asked(store, tmp_path, ask)


def test_the_longest_unused_makes_room(store: Store, tmp_path: Path) -> None:
    for seed, name in enumerate(("one", "two")):
        installed(store, tmp_path, name, seed)

    async def ask(models: LocalModels) -> None:
        await models.shelf.encoder("one")
        await models.shelf.encoder("two")
        assert list(models.shelf.loaded) == [("system", "two")]
        assert (await models.embedded("one", ["a cat"], "query", NEVER)).vectors.shape == (1, 32)

    asked(store, tmp_path, ask, models_mb=0)


def test_another_checkpoint_under_the_name_is_loaded_when_it_is_hoped_for(
    store: Store, tmp_path: Path
) -> None:
    before = installed(store, tmp_path, "one")

    async def ask(models: LocalModels) -> None:
        first = await models.embedded("one", ["a cat"], "query", NEVER)
        after = installed(store, tmp_path, "one", seed=1, replace=True)
        second = await models.embedded("one", ["a cat"], "query", NEVER, after)
        assert (first.checkpoint, second.checkpoint) == (before, after)
        assert not np.allclose(first.vectors, second.vectors)

    asked(store, tmp_path, ask)


def test_a_text_that_the_model_cannot_encode_fails_alone(store: Store, tmp_path: Path) -> None:
    folder = poisoned(with_modules(tiny_model(tmp_path / "poisoned")))
    add(store, "odd", str(folder), pooling="mean", similarity="cosine", max_length=16)

    async def ask(models: LocalModels) -> None:
        bad, good = await asyncio.gather(
            models.embedded("odd", ["poison"], "query", NEVER),
            models.embedded("odd", ["a cat"], "query", NEVER),
            return_exceptions=True,
        )
        assert isinstance(bad, InputError)
        assert "the model's output is not a number" in bad.message
        assert not isinstance(good, BaseException)

    asked(store, tmp_path, ask)


@pytest.mark.parametrize("text", ["\ud800", "a \udfff b"])
def test_half_a_character_is_refused(store: Store, tmp_path: Path, text: str) -> None:
    installed(store, tmp_path, "one")

    async def ask(models: LocalModels) -> None:
        with pytest.raises(MsmError, match="cannot be encoded"):
            await models.embedded("one", ["fine", text], "query", NEVER)

    asked(store, tmp_path, ask)


def test_names_that_nobody_has_are_remembered_within_a_bound(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "MOST_REFUSED", 3)

    async def ask(models: LocalModels) -> None:
        for n in range(9):
            with pytest.raises(NotFound):
                await models.shelf.encoder(f"nobody{n}")
        assert list(models.shelf._refused) == [("system", f"nobody{n}") for n in (6, 7, 8)]

    asked(store, tmp_path, ask)


def test_a_refusal_that_has_expired_is_let_go(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "FRESH", 0.0)

    async def ask(models: LocalModels) -> None:
        for n in range(3):
            with pytest.raises(NotFound):
                await models.shelf.encoder(f"nobody{n}")
        assert list(models.shelf._refused) == [("system", "nobody2")]

    asked(store, tmp_path, ask)


def test_a_query_s_vector_waits_for_no_passages(store: Store, tmp_path: Path) -> None:
    installed(store, tmp_path, "one")

    async def ask(models: LocalModels) -> None:
        soon = Deadline.after(60_000)
        await models.embedded("one", ["warm"], "query", soon)
        many = ["a text of sixteen tokens or so, as the model cuts it there and nobody asks for more"] * 70
        first = await held(models.passages, busy := Noting())
        assert (await models.embedded("one", ["why"], "query", soon)).vectors.shape[0] == 1
        passages = asyncio.create_task(models.embedded("one", ["it is"], "passage", soon))
        await asyncio.sleep(0.2)
        queries = asyncio.create_task(models.embedded("one", many, "query", soon))
        await asyncio.sleep(0.2)
        assert not passages.done()
        assert not queries.done(), "so many are no search"
        busy.gate.set()
        await asyncio.gather(first, passages, queries)

    asked(store, tmp_path, ask)
