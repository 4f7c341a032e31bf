"""What a training run is told: a recipe, from a YAML file, with overrides.

A recipe is data: who adds one writes a file in `recipes/` (or anywhere, and names its path). A key that
is not known, or a value of the wrong type, is an error that names file and key.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.errors import InputError, NotFound, UsageError
from services.training.methods import METHODS

_FOLDER = Path(__file__).with_name("recipes")
Precision = Literal["auto", "fp32", "bf16"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(_Section):
    """Which examples are made.

    Attributes:
        negatives: Per positive.
        systems: Whose candidates; empty: of all systems that the split was mined with.
        filters: As `--filter` takes them, in order.
        ce: Cross-encoder whose stored scores the filters read.
        relabel: As `--relabel` takes it: candidates with such scores are positives.
        marks: Whether people's marks count.
        queries: At most so many queries, drawn with the recipe's seed; 0: all.
    """

    negatives: int = Field(default=4, ge=0, le=64)
    systems: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    ce: str | None = None
    relabel: str | None = None
    marks: bool = True
    queries: int = Field(default=0, ge=0)


class Loss(_Section):
    """Parameters of the loss.

    Attributes:
        scale: What similarities are multiplied with (`mnrl`); None: 20 for cosine, 1 for dot.
    """

    scale: float | None = Field(default=None, gt=0)


class Evaluation(_Section):
    """What is measured at the end, on queries of the split that are kept out of training.

    Attributes:
        queries: How many; 0: none.
        depth: Candidates per query that are reranked besides the positives.
    """

    queries: int = Field(default=100, ge=0, le=10_000)
    depth: int = Field(default=9, ge=1, le=200)


class Recipe(_Section):
    """All that decides a run besides the data in the store.

    Attributes:
        method: How examples become batches, and batches a loss (`services/training/methods.py`).
        base: System, cross-encoder or trained model to start from.
        layers: Only the first so many layers of the base; None: all.
        attention_dropout: Share of the attention that a step leaves out; None: as the base says. Without
            any, torch has a fused kernel for it: twice the speed on CPUs.
        max_length: Tokens after which a text (of a cross-encoder: a pair) is cut.
        batch: Examples per step.
        steps: How many; or `minutes` of training on the machine that trains, which fixes the number.
        warmup: Share of the steps over which the learning rate rises.
        schedule: How it falls afterwards, over the whole run.
        precision: `auto`: bf16 where a measured product is faster for it, else fp32.
        snapshots: Shares of the run at which the model is kept besides the last one.
        chunk_steps: Steps from one checkpoint to the next; None: about two minutes, all of a few steps.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    method: str
    help: str = ""
    source: str = ""
    base: str
    layers: int | None = Field(default=None, ge=1)
    attention_dropout: float | None = Field(default=None, ge=0, lt=1)
    max_length: int = Field(default=256, ge=8, le=8192)
    data: Data = Data()
    loss: Loss = Loss()
    batch: int = Field(default=32, ge=2, le=4096)
    steps: int | None = Field(default=None, ge=1, le=100_000_000)
    minutes: float | None = Field(default=None, gt=0, le=60 * 24 * 30)
    learning_rate: float = Field(default=2e-5, gt=0, lt=1)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = Field(default=0.01, ge=0, lt=1)
    precision: Precision = "auto"
    seed: int = Field(default=12, ge=0, lt=1 << 31)
    snapshots: tuple[float, ...] = ()
    chunk_steps: int | None = Field(default=None, ge=1)
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _sound(self) -> Recipe:
        if self.method not in METHODS:
            raise ValueError(f"no method '{self.method}'; there are {', '.join(METHODS)}")
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("give either steps or minutes")
        if any(not 0 < share < 1 for share in self.snapshots):
            raise ValueError("snapshots are shares of the run, between 0 and 1")
        return self


def names() -> list[str]:
    """The recipes that come with msmctl."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_recipe(name: str, overrides: Sequence[str] = (), changes: dict[str, Any] | None = None) -> Recipe:
    """A recipe by its name or by its file's path, with `KEY=VALUE` overrides.

    Args:
        name: Such as `ce-bce`, or a path that ends in .yaml.
        overrides: As `--set` takes them; `data.negatives=2`, or `negatives=2` where only one key ends so.
        changes: Dotted keys with values from other options.

    Raises:
        NotFound: no such recipe.
        InputError: the file is not a recipe.
        UsageError: an override names no key, or has no fitting value.
    """
    raw, where = _read(name)
    _parse(raw, where)  # so that a mistake in the file is not blamed on an override
    for text in overrides:
        key, value = _override(text)
        _set(raw, key, value)
    for key, value in (changes or {}).items():
        _set(raw, key, value)
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        key, what = _first(error)
        raise UsageError(
            f"--set {key}: {what}" if key else f"{where}: {what}", hint=f"the keys: {', '.join(keys())}"
        ) from error


def keys() -> list[str]:
    """All keys that `--set` takes, dotted."""
    return [key for key in _keys(Recipe) if key not in ("name", "method", "help", "source")]


def _keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += _keys(inner, f"{prefix}{name}.")
        else:
            found.append(f"{prefix}{name}")
    return found


def _read(name: str) -> tuple[dict[str, Any], str]:
    path = Path(name) if name.endswith((".yaml", ".yml")) else _FOLDER / f"{name}.yaml"
    if not path.name.startswith(tuple("abcdefghijklmnopqrstuvwxyz0123456789_")) or not path.is_file():
        near = get_close_matches(name, names(), n=2)
        raise NotFound(
            f"no recipe '{name}'" + (f"; near: {', '.join(near)}" if near else ""),
            hint=f"there are {', '.join(names())}; a recipe of your own is a path that ends in .yaml",
        )
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: no YAML: {' '.join(str(error).split())}", hint="mend the file") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path}: no recipe: it should be a mapping of keys", hint="see docs/training.md")
    return raw, str(path) if name.endswith((".yaml", ".yml")) else f"recipe {name}"


def _parse(raw: dict[str, Any], where: str) -> Recipe:
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        key, what = _first(error)
        near = get_close_matches(key, _keys(Recipe), n=1)
        raise InputError(
            f"{where}: "
            + (f"{key}: " if key else "")
            + what
            + (f"; did you mean {near[0]}?" if near and "known" in what else ""),
            hint=f"the keys: {', '.join(_keys(Recipe))}",
        ) from error


def _first(error: ValidationError) -> tuple[str, str]:
    """Key and complaint of the first mistake."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return key, "no known key"
    if first["type"] == "missing":
        return key, "is missing"
    what = first["msg"].removeprefix("Value error, ")
    return key, what if first["type"] == "value_error" else f"{what} (got {first['input']!r})"


def _override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UsageError(f"--set {text}: not of the form KEY=VALUE", hint=f"the keys: {', '.join(keys())}")
    matches = [known for known in keys() if known == key] or [
        known for known in keys() if known.rpartition(".")[2] == key
    ]
    if len(matches) != 1:
        near = ", ".join(matches or get_close_matches(key, keys(), n=3))
        raise UsageError(
            f"--set {key}: "
            + ("could be any of: " if matches else "no such key")
            + (near if matches else ""),
            hint=(f"near: {near}; " if near and not matches else "") + f"the keys: {', '.join(keys())}",
        )
    try:
        return matches[0], yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(
            f"--set {key}: '{value}' is no value", hint="quote what YAML would read otherwise"
        ) from error


def _set(raw: dict[str, Any], key: str, value: Any) -> None:
    """Put a value at a dotted key; `steps` and `minutes` take each other's place."""
    *sections, last = key.split(".")
    for section in sections:
        raw = raw.setdefault(section, {})
    if isinstance(value, float | int) and not isinstance(value, bool) and last in ("base", "ce"):
        value = str(value)
    raw[last] = (
        [value] if last in ("systems", "filters", "snapshots") and not isinstance(value, list) else value
    )
    for one, other in (("steps", "minutes"), ("minutes", "steps")):
        if last == one and value is not None:
            raw.pop(other, None)
