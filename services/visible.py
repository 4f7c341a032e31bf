"""Files of a folder that are for readers: hidden is what is still being written, by us and by others."""

from __future__ import annotations

from pathlib import Path


def visible_files(folder: Path) -> list[Path]:
    """All files below the folder, sorted, but those with a name, or in a folder, that begins with a dot."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(name.startswith(".") for name in path.relative_to(folder).parts)
    ]
