"""How a base's files are read: weights from safetensors as float32, config.json with the recipe's changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.errors import InputError
from services.models.config_file import ConfigFile

if TYPE_CHECKING:
    from services.training.base import Base
    from services.training.recipe import Recipe

WEIGHTS = {"use_safetensors": True, "dtype": "float32"}


def config(recipe: Recipe) -> dict[str, Any]:
    """What the recipe changes in the base's config.json; architectures spell it differently."""
    changes: dict[str, Any] = {}
    if recipe.layers:
        changes["num_hidden_layers"] = recipe.layers
    if recipe.attention_dropout is not None:
        for name in ("attention_probs_dropout_prob", "attention_dropout"):
            changes[name] = recipe.attention_dropout
    return changes


def require_fitting(base: Base, recipe: Recipe) -> None:
    """See that the base has as many layers and positions as the recipe wants.

    Raises:
        InputError: it has not.
    """
    file = ConfigFile.read(Path(base.transformer) / "config.json")
    layers = file.get("num_hidden_layers", int) or file.get("n_layers", int)
    if recipe.layers and layers and recipe.layers > layers:
        raise InputError(
            f"base '{base.name}' has {layers} layers, not {recipe.layers}",
            hint=f"--set layers={layers} or fewer",
        )
    positions = file.get("max_position_embeddings", int)
    if positions and positions > 0 and recipe.max_length > positions:
        raise InputError(
            f"max_length {recipe.max_length} is beyond the {positions} positions of base '{base.name}'",
            hint=f"--set max_length={positions} or less",
        )
