"""One writer per collection: imports, updates and removals of one name do not interleave."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.errors import Conflict, InputError


@contextmanager
def exclusive(locks: Path, name: str) -> Iterator[None]:
    """Hold the collection's lock; the kernel frees it when the process dies, however it dies.

    Args:
        locks: Folder of lock files (MSM_HOME/locks).
        name: The collection.

    Raises:
        Conflict: another process holds it.
        InputError: the lock file cannot be made.
    """
    path = locks / f"collection-{name}.lock"
    try:
        locks.mkdir(parents=True, exist_ok=True)
        opened = path.open("a+", errors="replace")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be opened: {error.strerror}", hint="mend the folder or its permissions"
        ) from error
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read() or "?"
            raise Conflict(
                f"collection '{name}' is being changed by process {holder}",
                hint="wait until it is done, then try again",
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
