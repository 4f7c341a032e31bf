"""Temporary files for what does not fit into memory: where there is no room, the error says what to set."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from services.errors import MsmError


def no_room(reason: object) -> MsmError:
    """The error for a temporary folder that takes no more."""
    return MsmError(
        f"temporary folder {tempfile.gettempdir()}: {reason}",
        hint="make room there, or set TMPDIR to where there is some; then run it again",
    )


@contextmanager
def spilling() -> Iterator[None]:
    """Write temporary files within this.

    Raises:
        MsmError: the temporary folder is full, or cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise no_room(error.strerror or errno.errorcode.get(error.errno or 0, str(error))) from error


@contextmanager
def spool() -> Iterator[IO[bytes]]:
    """A temporary file without a name; what is written to it goes within `spilling`."""
    with spilling():
        stream = tempfile.TemporaryFile()  # noqa: SIM115 # closed below, as a full disk wants it
    try:
        yield stream
    finally:
        with suppress(OSError):  # closing tries once more to write what there was no room for
            stream.close()


def append_records(path: Path, records: npt.NDArray[Any]) -> None:
    """Put an array at the end of a temporary file, as `numpy.fromfile` reads it; see `spilling`.

    `ndarray.tofile` would leave out of its error why it cannot write.
    """
    with spilling(), path.open("ab") as file:
        file.write(np.ascontiguousarray(records).view(np.uint8).data)
