"""Models in the store, under the fingerprint of their content. Workers load them from here only.

`models/<slug>@<fingerprint>/` holds a model's decisive files and model.json; `models/<slug>.json` says
which one the system uses now. Earlier ones stay: vectors made with them remain explained.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from services.errors import Conflict, InputError, NotFound
from services.store import Store, fingerprint
from services.store.fingerprint import file_sha256, short
from services.systems.model_folder import OwnSettings, decisive_files, own_settings
from services.systems.profile import agree, profile_of
from services.systems.registry import parse_system, require_name, save
from services.systems.sources import Source, open_source, origin_of, package_source, require_dense
from services.systems.system import Pooling, Prompts, Similarity, System
from services.systems.weights import require_whole


class ModelFile(BaseModel):
    """One file of a model, by its path inside the folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    bytes: int
    sha256: str


class InstalledModel(BaseModel):
    """A model in the store. `fingerprint` is the hash of its files' paths and contents, 64 hex digits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str
    slug: str
    fingerprint: str
    source: str
    revision: str | None = None
    own: OwnSettings
    files: tuple[ModelFile, ...]

    @property
    def folder(self) -> str:
        """Store key of the model's folder."""
        return f"models/{self.slug}@{short(self.fingerprint)}"

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files)

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


def installed(store: Store, system: System) -> InstalledModel | None:
    """The model that the system uses, or None before the first pull."""
    pointer = store.read_json(_pointer(system))
    manifest = store.read_json(f"{pointer['folder']}/model.json") if pointer else None
    return InstalledModel.model_validate(manifest) if manifest else None


def required(store: Store, system: System) -> InstalledModel:
    """The model that the system uses. A worker looks nowhere but in the store.

    Raises:
        NotFound: it must be pulled first.
        InputError: it has none.
    """
    require_dense(system)
    model = installed(store, system)
    if model is None:
        raise NotFound(
            f"the model of system '{system.name}' is not in {store.url}",
            hint=f"`msmctl systems pull {system.name}` (or `… --from FOLDER`)",
        )
    return model


def installed_or_pull(store: Store, system: System) -> InstalledModel:
    """The model that the system uses; pulled now where an installed package carries it.

    For the caller's process, when a job is submitted. A download is never started unasked.

    Raises:
        NotFound: the model must be pulled first.
    """
    source = package_source(system) if installed(store, system) is None else None
    return copy_in(store, system, source) if source else required(store, system)


def pull(
    store: Store, system: System, origin: str | None = None, revision: str | None = None
) -> InstalledModel:
    """Copy a system's model into the store and use it from now on.

    Args:
        store: Where to.
        system: The registered system.
        origin: Folder or hub id; None: the installed package, else the registry's hub id.
        revision: Commit, branch or tag on the hub; None: the newest, pinned by its commit.
    """
    require_dense(system)
    package = package_source(system) if origin is None and revision is None else None
    if package is not None:
        return copy_in(store, system, package)
    with open_source(origin_of(system) if origin is None else origin, revision) as source:
        return copy_in(store, system, source)


def add(
    store: Store,
    name: str,
    origin: str,
    *,
    pooling: Pooling | None = None,
    similarity: Similarity | None = None,
    max_length: int | None = None,
    prompts: Prompts | None = None,
    revision: str | None = None,
    replace: bool = False,
) -> tuple[System, InstalledModel]:
    """Register a user's system and copy its model into the store; on an error, neither.

    What is not stated is taken from the model's own sentence-transformers files.

    Raises:
        InputError: the folder is no model, or says neither pooling nor similarity while nothing is stated.
        Conflict: the name is taken.
        UsageError: it is no name, or a reserved one.
    """
    require_name(name)
    with open_source(origin, revision) as source:
        own = own_settings(source.folder)
        stated = prompts or Prompts()
        profile = agree(name, pooling, similarity, max_length, stated, own)
        system = parse_system(
            {
                "name": name,
                "model": origin if source.revision else source.name,
                "prompts": stated.model_dump(),
                **profile.model_dump(include={"pooling", "similarity", "max_length"}),
            },
            "systems add",
        )
        save(store, system, replace=replace, dry_run=True)
        model = copy_in(store, system, source)
        save(store, system, replace=replace)
    return system, model


def copy_in(store: Store, system: System, source: Source) -> InstalledModel:
    """Copy a source's decisive files under their content fingerprint; nothing is copied twice."""
    own = own_settings(source.folder)
    profile_of(system, own)
    names = decisive_files(source.folder)
    require_whole(source.folder, own.transformer, names)
    files = tuple(
        ModelFile(
            path=name, bytes=(source.folder / name).stat().st_size, sha256=file_sha256(source.folder / name)
        )
        for name in names
    )
    model = InstalledModel(
        system=system.name,
        slug=system.slug,
        fingerprint=fingerprint([[f.path, f.sha256] for f in files]),
        source=source.name,
        revision=source.revision,
        own=own,
        files=files,
    )
    if store.read_json(f"{model.folder}/model.json") is None or model.damaged(store):
        for file in files:
            _copy_file(store, source.folder / file.path, f"{model.folder}/{file.path}")
        if broken := model.damaged(store):
            raise Conflict(f"{source.name} changed while it was copied: {broken[0]}", hint="pull it again")
        store.write_json(f"{model.folder}/model.json", model.model_dump(mode="json"))
    store.write_json(_pointer(system), {"folder": model.folder})
    return model


def describe(system: System, model: InstalledModel | None) -> dict[str, Any]:
    """A system and its model as `systems ls` and `show` print them; the same keys for every system."""
    record = system.model_dump(mode="json", exclude={"order"}) | {"slug": system.slug}
    if model is None:
        return record | {"fingerprint": None, "installed": None, "profile": None}
    about = model.model_dump(mode="json", exclude={"system", "slug", "files"})
    return record | {
        "fingerprint": short(model.fingerprint),
        "installed": about | {"folder": model.folder, "bytes": model.bytes, "files": len(model.files)},
        "profile": profile_of(system, model.own).model_dump(mode="json"),
    }


def _pointer(system: System) -> str:
    return f"models/{system.slug}.json"


def _copy_file(store: Store, source: Path, key: str) -> None:
    with store.scratch(key.rpartition("/")[0]) as scratch:
        try:
            shutil.copyfile(source, scratch)
        except OSError as error:
            raise InputError(f"{source}: cannot be read: {error}") from error
        store.put_file(scratch, key)
