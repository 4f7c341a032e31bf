"""The artefact store: a folder or any fsspec URL.

Two kinds of objects only. *Parts* are immutable; a part's name holds its sha256, so that a second
execution of the same chunk (or a zombie that writes late) can do no harm: a part counts only when a
manifest names it. *Manifests* are JSON, replaced as a whole. Nothing relies on rename across
objects, as S3 has none; on a local folder each write goes through a temporary file and `os.replace`.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any

import fsspec
from pydantic import BaseModel, ConfigDict

from services.errors import InputError, MsmError
from services.store.fingerprint import file_sha256, short
from services.store.remote import Remote, answering


class Part(BaseModel):
    """One immutable object of an artefact. `lo <= row < hi` is the range of ords or qords it covers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    lo: int
    hi: int
    rows: int
    bytes: int
    sha256: str


class Store:
    """Keys are relative paths with '/', never starting with '/' and free of '..'.

    What a remote backend refuses is raised as `services.store.remote.answering` says.

    Args:
        url: A local folder, or an fsspec URL such as `s3://bucket/folder`.
        cache: Folder for local copies of remote parts (memory mapping needs a file).
    """

    def __init__(self, url: str, cache: Path | None = None) -> None:
        try:
            fs, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise InputError(f"store '{url}': {error}", hint="for s3://… install msmctl[s3]") from error
        self.url = url
        self._root = str(root).rstrip("/")
        self.is_local = "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)
        self._fs: Any = fs if self.is_local else Remote(fs, url)
        self._cache = cache or Path(tempfile.gettempdir()) / "msmctl-store-cache"

    # -- names -------------------------------------------------------------------------------------

    def location(self, key: str) -> str:
        """The full path or URL of a key, for messages."""
        return f"{self._root}/{key}" if self.is_local else self._fs.unstrip_protocol(f"{self._root}/{key}")

    def _path(self, key: str) -> str:
        if key.startswith("/") or ".." in key.split("/") or "\0" in key:
            raise InputError(f"store key '{key}' leaves the store")
        return f"{self._root}/{key}" if key else self._root

    # -- reading -----------------------------------------------------------------------------------

    def exists(self, key: str) -> bool:
        """Whether the object (or, locally, the folder) is there."""
        return bool(self._fs.exists(self._path(key)))

    def size(self, key: str) -> int:
        """Bytes of an object; FileNotFoundError where there is none."""
        return int(self._fs.size(self._path(key)))

    def read_bytes(self, key: str) -> bytes:
        """A whole object; FileNotFoundError where there is none."""
        return bytes(self._fs.cat_file(self._path(key)))

    def read_json(self, key: str) -> Any:
        """A manifest, or None where there is none.

        Raises:
            MsmError: the object is there and is not JSON.
        """
        try:
            return json.loads(self.read_bytes(key))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise MsmError(
                f"{self.location(key)}: damaged: {error}",
                hint="remove the artefact's folder and make it again",
            ) from error

    @contextmanager
    def open(self, key: str) -> Iterator[IO[bytes]]:
        """An object as a seekable binary stream."""
        with (
            nullcontext() if self.is_local else answering(self.url),  # it is asked while it is read, too
            self._fs.open(self._path(key), "rb") as stream,
        ):
            yield stream

    def local_path(self, key: str) -> Path:
        """A file of the object's bytes, for memory mapping: itself, or a cached copy of a remote one.

        Only for parts: their names change with their content, so that a copy is never stale.
        """
        if self.is_local:
            return Path(self._path(key))
        copy = self._cache / key
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            scratch = copy.with_name(f"{copy.name}.{os.getpid()}")
            self._fs.get_file(self._path(key), str(scratch))
            scratch.replace(copy)
        return copy

    def children(self, key: str) -> list[str]:
        """Sorted names (last path segments) directly under a folder; empty where there is none."""
        self._fs.invalidate_cache()
        try:
            found = self._fs.ls(self._path(key), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in found)

    # -- writing -----------------------------------------------------------------------------------

    def write_part(
        self, folder: str, lo: int, hi: int, rows: int, suffix: str, write: Callable[[IO[bytes]], None]
    ) -> Part:
        """Write an immutable part `part-<lo>-<sha>.<suffix>` under a folder.

        Args:
            folder: Key of the artefact.
            lo: First row (ord or qord) of the range the part covers.
            hi: Row after the last.
            rows: Rows in the part.
            suffix: File name ending without dot, such as `parquet` or `npy`.
            write: Called once with a binary stream.
        """
        with self.scratch(folder) as scratch:
            with scratch.open("wb") as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            sha = file_sha256(scratch)
            size = scratch.stat().st_size
            name = f"part-{lo:010d}-{short(sha)}.{suffix}"
            self.put_file(scratch, f"{folder}/{name}")
        return Part(name=name, lo=lo, hi=hi, rows=rows, bytes=size, sha256=sha)

    @contextmanager
    def scratch(self, folder: str) -> Iterator[Path]:
        """A temporary file on the store's own file system (local) or the machine's; gone afterwards."""
        if self.is_local:
            parent = Path(self._path(folder))
            parent.mkdir(parents=True, exist_ok=True)
        else:
            parent = Path(tempfile.gettempdir())
        handle, name = tempfile.mkstemp(prefix=".tmp-", dir=parent)
        os.close(handle)
        path = Path(name)
        try:
            yield path
        finally:
            with suppress(FileNotFoundError):
                path.unlink()

    def put_file(self, source: Path, key: str) -> None:
        """Put a local file at a key, atomically. Locally the file is moved, not copied."""
        target = self._path(key)
        if self.is_local:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            source.chmod(0o644)
            source.replace(target)
        else:
            self._fs.put_file(str(source), target)

    def write_bytes(self, key: str, data: bytes) -> None:
        """Put or replace an object, atomically."""
        if self.is_local:
            with self.scratch(key.rpartition("/")[0]) as scratch:
                with scratch.open("wb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
                self.put_file(scratch, key)
        else:
            self._fs.pipe_file(self._path(key), data)

    def create_json(self, key: str, value: Any) -> None:
        """Put a manifest unless there is one: the first of several writers wins (locally; S3 cannot)."""
        if not self.is_local:
            if not self.exists(key):
                self.write_json(key, value)
            return
        with self.scratch(key.rpartition("/")[0]) as scratch:
            scratch.write_text(json.dumps(value, sort_keys=True) + "\n", "utf-8")
            scratch.chmod(0o644)
            with suppress(FileExistsError):
                os.link(scratch, self._path(key))

    def write_json(self, key: str, value: Any) -> None:
        """Put or replace a manifest, atomically (sorted keys, so equal content gives equal bytes)."""
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        self.write_bytes(key, (text + "\n").encode())

    def remove(self, key: str) -> None:
        """Remove an object or a whole folder; nothing happens where there is none."""
        with suppress(FileNotFoundError):
            self._fs.rm(self._path(key), recursive=True)
