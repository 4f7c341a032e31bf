"""Recipes: read from files, changed by overrides, refused with file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.errors import InputError, NotFound, UsageError
from services.training.methods import METHODS, method_named
from services.training.recipe import keys, load_recipe, names


def written(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


GOOD = "name: mine\nmethod: ce-bce\nbase: all-MiniLM-L6-v2\nsteps: 10\n"


@pytest.mark.parametrize("name", names())
def test_every_recipe_that_comes_along_is_valid_and_says_what_it_is(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.help
    assert recipe.source
    assert recipe.method in METHODS


@pytest.mark.parametrize("name", METHODS)
def test_every_method_can_be_loaded(name: str) -> None:
    assert method_named(name).makes in ("cross-encoder", "bi-encoder")


def test_a_recipe_of_ones_own_is_a_path(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, GOOD + "data: {negatives: 2}\n"))
    assert (recipe.name, recipe.steps, recipe.data.negatives) == ("mine", 10, 2)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("bach: 3\n", "bach: no known key; did you mean batch?"),
        ("data: {negative: 3}\n", "data.negative: no known key; did you mean data.negatives?"),
        ("batch: many\n", "batch: .*'many'"),
        ("data:\n", "data: "),
        ("minutes: 3\n", "give either steps or minutes"),
        ("snapshots: [1.5]\n", "snapshots are shares of the run"),
        ("learning_rate: -1\n", "learning_rate: .*greater than 0"),
        ("precision: fp64\n", "precision: "),
    ],
)
def test_a_mistake_in_a_file_is_named_with_file_and_key(tmp_path: Path, more: str, complaint: str) -> None:
    path = written(tmp_path, GOOD + more)
    with pytest.raises(InputError, match=complaint) as caught:
        load_recipe(path)
    assert caught.value.message.startswith(path)
    assert "learning_rate" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name: mine\nmethod: ce-bce\nsteps: 1\n", "base: is missing"),
        ("name: x\nmethod: magic\nbase: b\nsteps: 1\n", "no method 'magic'; there are ce-bce, mnrl"),
        ("- a\n- b\n", "should be a mapping"),
        ("a: [", "no YAML"),
        ("", "should be a mapping"),
        ("!!python/object/apply:os.system ['true']\n", "no YAML"),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        load_recipe(written(tmp_path, text))


def test_overrides_are_typed_and_may_leave_the_section_out() -> None:
    recipe = load_recipe(
        "ce-bce", ["negatives=7", "learning_rate=1e-4", "data.filters=[rank-range=2:9]", "layers=2"]
    )
    assert (recipe.data.negatives, recipe.learning_rate, recipe.layers) == (7, 1e-4, 2)
    assert recipe.data.filters == ("rank-range=2:9",)


def test_steps_and_minutes_take_each_others_place() -> None:
    by_steps = load_recipe("ce-bce", ["steps=9"])
    assert (by_steps.steps, by_steps.minutes) == (9, None)
    by_minutes = load_recipe("ce-bce", ["steps=9", "minutes=.5"])
    assert (by_minutes.steps, by_minutes.minutes) == (None, 0.5)


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("minuts=5", "no such key"),
        ("queries=5", "could be any of: data.queries, evaluation.queries"),
        ("batch", "not of the form KEY=VALUE"),
        ("batch=a", "--set batch: .*'a'"),
        ("batch=1", "--set batch: .*greater than or equal to 2"),
        ("name=x", "no such key"),
    ],
)
def test_an_override_that_does_not_fit_lists_the_keys(override: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        load_recipe("ce-bce", [override])
    assert all(key in str(caught.value.hint) for key in keys())


@pytest.mark.parametrize("name", ["ce-bc", "../recipe", "/etc/passwd", "nothing.yaml", ""])
def test_a_recipe_that_is_not_there(name: str) -> None:
    with pytest.raises(NotFound, match="no recipe"):
        load_recipe(name)
