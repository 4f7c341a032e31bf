"""A file that is to be written: whether it can be, found out before any work is done."""

from __future__ import annotations

import os
from pathlib import Path

from services.errors import InputError

_OTHER_PACKING = (".bz2", ".xz", ".lz4", ".zip", ".7z", ".br")
"""What a name promises and no reader of ours unpacks."""
_BESIDE = len("..manifest.json.new")
"""Characters that the longest name beside it has more."""


def require_target(path: Path) -> None:
    """Refuse what cannot become a file of ours, even where what is there may be overwritten.

    Raises:
        InputError: a folder, pipe or device is there, its folder is not or may not be written to, the name
            promises a packing that is not written, or is too long.
    """
    require_folder(path.parent)
    longest = os.pathconf(path.parent, "PC_NAME_MAX") - _BESIDE
    if len(os.fsencode(path.name)) > longest:
        raise InputError(
            f"{path}: the name is too long: a manifest lies beside it",
            hint=f"choose one of {longest} bytes at most",
        )
    if path.is_dir():
        raise InputError(f"{path}: is a folder", hint=f"name a file, such as {path / 'out.gz'}")
    if path.name == "-" or (path.exists() and not path.is_file()):
        raise InputError(
            f"{path}: is no regular file; what is written is put in place as a whole", hint="name a file"
        )
    if path.suffix.lower() in _OTHER_PACKING:
        raise InputError(
            f"{path}: exports are not packed as {path.suffix}", hint="choose .gz or .zst, or no packing"
        )


def require_folder(folder: Path) -> None:
    """Refuse a folder that is not there or may not be written to; InputError with the remedy."""
    try:
        there = folder.is_dir()
    except OSError as error:  # a name that is too long
        raise InputError(f"{folder}: {error.strerror}", hint="choose another folder") from error
    if not there:
        raise InputError(f"{folder}: no such folder", hint=f"mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(
            f"{folder}: may not be written to", hint="choose another folder or change its permissions"
        )
