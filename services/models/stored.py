"""Models in the store, under the fingerprint of their content. Workers load them from here only.

`<home>/<slug>@<fingerprint>/` holds a model's decisive files and model.json; `<home>/<slug>.json` says
which one is used now. Earlier ones stay: what was made with them remains explained.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from services.errors import Conflict, InputError
from services.models.sources import Source
from services.store import Store, fingerprint
from services.store.fingerprint import file_sha256, short


class ModelFile(BaseModel):
    """One file of a model, by its path inside the folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    bytes: int
    sha256: str


class StoredModel(BaseModel):
    """A model in the store. `fingerprint` is the hash of its files' paths and contents, 64 hex digits."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    home: ClassVar[str]

    slug: str
    fingerprint: str
    source: str
    revision: str | None = None
    files: tuple[ModelFile, ...]

    @property
    def folder(self) -> str:
        """Store key of the model's folder."""
        return f"{self.home}/{self.slug}@{short(self.fingerprint)}"

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files)

    @classmethod
    def in_use(cls, store: Store, slug: str) -> Self | None:
        """The model that is used now under a name, or None before the first pull."""
        pointer = store.read_json(f"{cls.home}/{slug}.json")
        manifest = store.read_json(f"{pointer['folder']}/model.json") if pointer else None
        return cls.model_validate(manifest) if manifest else None

    def local_folder(self, store: Store) -> Path:
        """The files on this machine's disk (a cached copy of a remote store's)."""
        paths = [store.local_path(f"{self.folder}/{file.path}") for file in self.files]
        depth = self.files[0].path.count("/")
        return paths[0].parents[depth]

    def damaged(self, store: Store) -> list[str]:
        """Paths whose bytes are not those that were pulled, with what is wrong."""
        folder, found = self.local_folder(store), []
        for file in self.files:
            path = folder / file.path
            if not path.is_file():
                found.append(f"{file.path}: missing")
            elif path.stat().st_size != file.bytes:
                found.append(f"{file.path}: {path.stat().st_size} bytes instead of {file.bytes}")
            elif file_sha256(path) != file.sha256:
                found.append(f"{file.path}: sha256 differs")
        return found

    def put(self, store: Store, source: Source) -> None:
        """Copy a source's files (nothing is copied twice) and use the model from now on.

        Raises:
            Conflict: the source changed meanwhile.
        """
        if store.read_json(f"{self.folder}/model.json") is None or self.damaged(store):
            for file in self.files:
                _copy_file(store, source.folder / file.path, f"{self.folder}/{file.path}")
            if broken := self.damaged(store):
                raise Conflict(
                    f"{source.name} changed while it was copied: {broken[0]}", hint="pull it again"
                )
            store.write_json(f"{self.folder}/model.json", self.model_dump(mode="json"))
        store.write_json(f"{self.home}/{self.slug}.json", {"folder": self.folder})

    def pulled(self) -> dict[str, Any]:
        """What `pull` prints of it."""
        about = self.model_dump(mode="json", include={"fingerprint", "source", "revision"})
        return about | {"folder": self.folder, "bytes": self.bytes, "files": len(self.files)}

    def described(self) -> dict[str, Any]:
        """What `show` prints of it."""
        about = self.model_dump(mode="json", exclude={"system", "ce", "slug", "files"})
        return about | {"folder": self.folder, "bytes": self.bytes, "files": len(self.files)}


def contents(source: Source, names: list[str]) -> dict[str, Any]:
    """The fields of a `StoredModel` that a source's files decide.

    Args:
        source: A model folder at hand.
        names: The files that count, by their relative paths.
    """
    files = tuple(
        ModelFile(
            path=name, bytes=(source.folder / name).stat().st_size, sha256=file_sha256(source.folder / name)
        )
        for name in names
    )
    return {
        "fingerprint": fingerprint([[file.path, file.sha256] for file in files]),
        "source": source.name,
        "revision": source.revision,
        "files": files,
    }


def _copy_file(store: Store, source: Path, key: str) -> None:
    with store.scratch(key.rpartition("/")[0]) as scratch:
        try:
            shutil.copyfile(source, scratch)
        except OSError as error:
            raise InputError(f"{source}: cannot be read: {error}") from error
        store.put_file(scratch, key)
