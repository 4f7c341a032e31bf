"""Which models are loaded at start: those that MSM_WARM names, else those that were in use before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from services.settings import Settings
from services.stack import secrets


def memory_file(settings: Settings) -> Path:
    """Where the names of loaded models are kept."""
    return settings.home / "run" / "models.json"


def stated(settings: Settings) -> list[str]:
    """Names of models in MSM_WARM."""
    return [name.strip() for name in settings.warm.split(",") if name.strip()]


def remembered(settings: Settings) -> list[str]:
    """What was loaded when the last process ended; a file that cannot be read only costs the warmth."""
    try:
        names = json.loads(memory_file(settings).read_text("utf-8"))
    except (OSError, ValueError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def remember(settings: Settings, names: Sequence[str]) -> None:
    """Keep the names of what is loaded."""
    path = memory_file(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    secrets.write(path, json.dumps(sorted(set(names))))
