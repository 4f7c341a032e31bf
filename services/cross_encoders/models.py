"""The models of cross-encoders in the store (see `services.models.stored`): pulled, added, looked up."""

from __future__ import annotations

from typing import Any

from services.cross_encoders.cross_encoder import CrossEncoder, Kind, Template
from services.cross_encoders.model_folder import MODULES, OwnSettings, own_settings
from services.cross_encoders.profile import profile_of
from services.cross_encoders.registry import CrossEncoders
from services.errors import InputError, NotFound
from services.models.folder import decisive_files
from services.models.sources import Source, open_source
from services.models.stored import StoredModel, contents
from services.models.weights import require_whole
from services.store import Store
from services.store.fingerprint import short


class InstalledModel(StoredModel):
    """A cross-encoder's model in the store. `own` is what its folder says of itself."""

    home = "cross_encoders/models"

    ce: str
    own: OwnSettings


def installed(store: Store, ce: CrossEncoder) -> InstalledModel | None:
    """The model that the cross-encoder uses, or None before the first pull."""
    return InstalledModel.in_use(store, ce.slug)


def required(store: Store, ce: CrossEncoder) -> InstalledModel:
    """The model that the cross-encoder uses. A worker looks nowhere but in the store.

    Raises:
        NotFound: it must be pulled first.
    """
    model = installed(store, ce)
    if model is None:
        raise NotFound(
            f"the model of cross-encoder '{ce.name}' is not in {store.url}",
            hint=f"`msmctl ce pull {ce.name}` (or `… --from FOLDER`)",
        )
    return model


def pull(
    store: Store, ce: CrossEncoder, origin: str | None = None, revision: str | None = None
) -> InstalledModel:
    """Copy a cross-encoder's model into the store and use it from now on.

    Args:
        store: Where to.
        ce: The registered cross-encoder.
        origin: Folder or hub id; None: the registry's.
        revision: Commit, branch or tag on the hub; None: the newest, pinned by its commit.
    """
    origin = ce.model if origin is None else origin
    if origin is None:
        raise InputError(
            f"cross-encoder '{ce.name}' says nowhere its model is to be had",
            hint=f"`msmctl ce pull {ce.name} --from FOLDER`",
        )
    with open_source(origin, revision) as source:
        return _copy_in(store, ce, source)


def add(
    store: Store,
    name: str,
    origin: str,
    *,
    kind: Kind | None = None,
    max_length: int | None = None,
    margin: float | None = None,
    template: Template | None = None,
    revision: str | None = None,
    replace: bool = False,
) -> tuple[CrossEncoder, InstalledModel]:
    """Register a user's cross-encoder and copy its model into the store; on an error, neither.

    What is not stated is taken from the model's own files.

    Raises:
        InputError: the folder is no cross-encoder, or a decoder for which no template is stated.
        Conflict: the name is taken.
        UsageError: it is no name.
    """
    CrossEncoders.require_name(name)
    with open_source(origin, revision) as source:
        own = own_settings(source.folder)
        if own.kind == "decoder" and template is None:
            raise InputError(
                f"{source.name}: a decoder needs a template: the words around query and passage",
                hint="--template-of NAME takes that of the model that it was trained from",
            )
        ce = CrossEncoders.parse(
            {
                "name": name,
                "kind": kind or own.kind,
                "model": origin if source.revision else source.name,
                "max_length": max_length,
                "margin": margin,
                "template": template and template.model_dump(),
            },
            "ce add",
        )
        CrossEncoders.save(store, ce, replace=replace, dry_run=True)
        model = _copy_in(store, ce, source)
        CrossEncoders.save(store, ce, replace=replace)
    return ce, model


def _copy_in(store: Store, ce: CrossEncoder, source: Source) -> InstalledModel:
    own = own_settings(source.folder)
    profile_of(ce, own)
    names = decisive_files(source.folder, MODULES)
    require_whole(source.folder, own.transformer, names)
    model = InstalledModel(ce=ce.name, slug=ce.slug, own=own, **contents(source, names))
    model.put(store, source)
    return model


def describe(ce: CrossEncoder, model: InstalledModel | None) -> dict[str, Any]:
    """A cross-encoder and its model as `ce ls` and `show` print them; the same keys for each."""
    record = ce.model_dump(mode="json", exclude={"order"}) | {"slug": ce.slug}
    if model is None:
        return record | {"fingerprint": None, "installed": None, "profile": None}
    return record | {
        "fingerprint": short(model.fingerprint),
        "installed": model.described(),
        "profile": profile_of(ce, model.own).model_dump(mode="json"),
    }
