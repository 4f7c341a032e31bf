"""What a run takes: room for checkpoints, and the time that a step takes where one has been measured."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from services.errors import MsmError
from services.store import Store, fingerprint
from services.store.fingerprint import short
from services.training.base import Base
from services.training.recipe import Recipe

_CHECKPOINT = 3
"""Weights, and twice as much of the optimizer's."""
_DECIDE_SPEED = {"method", "layers", "attention_dropout", "max_length", "batch", "precision"}


def room(base: Base, recipe: Recipe) -> int:
    """Bytes in the store at a time, at most.

    While it trains three checkpoints (where the process before began, where this one did, and what is being
    written) and one per snapshot; at the end two, one per snapshot, and the models.
    """
    weights, snapshots = _weights(base), len(recipe.snapshots)
    training = (3 + snapshots) * _CHECKPOINT
    ending = (2 + snapshots) * _CHECKPOINT + 1 + snapshots
    return max(training, ending) * weights


def require_room(store: Store, base: Base, recipe: Recipe) -> None:
    """See that checkpoints have room: in the store, and one of them where they are made.

    Raises:
        MsmError: a disk is too full.
    """
    wanted = [(Path(tempfile.gettempdir()), _CHECKPOINT * _weights(base))]
    if store.is_local:
        wanted.append((Path(store.url), room(base, recipe)))
    for place, _ in wanted:
        disk = place.stat().st_dev
        needed = sum(size for other, size in wanted if other.stat().st_dev == disk)
        free = shutil.disk_usage(place).free
        if free < needed:
            raise MsmError(
                f"{place}: {free / 1e9:.1f} GB free; checkpoints take up to {needed / 1e9:.1f} GB",
                hint="make room, or set TMPDIR and MSM_STORE to where there is some",
            )


def remember_speed(store: Store, recipe: Recipe, base: Base, seconds_per_step: float) -> None:
    """Keep what was measured, for estimates of runs like this one."""
    store.write_json(_key(recipe, base), {"seconds_per_step": round(seconds_per_step, 4)})


def estimate(store: Store, recipe: Recipe, base: Base) -> tuple[int, float | None]:
    """Steps and seconds. What the recipe leaves open is known (else 0, None) once a run was measured."""
    speed = store.read_json(_key(recipe, base))
    each = float(speed["seconds_per_step"]) if speed else None
    if recipe.steps is not None:
        return recipe.steps, None if each is None else each * recipe.steps
    seconds = (recipe.minutes or 0.0) * 60
    return max(1, round(seconds / each)) if each else 0, seconds


def _weights(base: Base) -> int:
    return sum(path.stat().st_size for path in Path(base.transformer).glob("*.safetensors"))


def _key(recipe: Recipe, base: Base) -> str:
    alike = recipe.model_dump(mode="json", include=_DECIDE_SPEED) | {"base": base.fingerprint}
    return f"speeds/train-{short(fingerprint(alike))}.json"
