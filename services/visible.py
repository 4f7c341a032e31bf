"""Files of a folder that are for readers: hidden is what is still being written, by us and by others."""

from __future__ import annotations

from pathlib import Path

from services.errors import InputError
from services.shown import plain


def visible_files(folder: Path) -> list[Path]:
    """All files below the folder, sorted, but those with a name, or in a folder, that begins with a dot.

    Raises:
        InputError: a link leads to no file, so that what should be there would be missing without a word,
            or a name is not UTF-8.
    """
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if not path.is_dir() and not any(name.startswith(".") for name in path.relative_to(folder).parts)
    ]
    lost = next((path for path in found if path.is_symlink() and not path.exists()), None)
    if lost is not None:
        raise InputError(f"{lost}: a link to a file that is not there", hint="mend the link or remove it")
    odd = next((path for path in found if not _is_utf8(str(path.relative_to(folder)))), None)
    if odd is not None:
        raise InputError(f"{plain(str(odd))}: the name is not UTF-8", hint="rename the file")
    return [path for path in found if path.is_file()]


def _is_utf8(name: str) -> bool:
    return name.encode("utf-8", "ignore").decode() == name
