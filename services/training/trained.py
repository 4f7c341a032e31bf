"""Trained models in the store: what each was made of, and where its folder lies.

A folder is what sentence-transformers reads, with a model card and the loss curve; nothing in it must be
unpickled. `trained/<name>.json` says which one a name stands for (`services.models.stored`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.errors import Conflict, InputError, NotFound
from services.models.entry import slug_of
from services.models.sources import Source
from services.models.stored import StoredModel, contents
from services.store import Store
from services.training.methods import Makes

CURVE, PICTURE = "loss.csv", "loss.png"


class TrainedModel(StoredModel):
    """A trained model.

    Attributes:
        recipe: As it was run, overrides included.
        inputs: Fingerprints of all that decided the result besides the recipe.
        data: Counts of queries and examples.
        training: Steps, seconds, precision, losses at the beginning and the end.
        measures: On the queries that were kept out of training, before and after.
        made: When, UTC.
    """

    home = "trained"

    name: str
    makes: Makes
    collection: str
    split: str
    recipe: dict[str, Any]
    inputs: dict[str, Any]
    data: dict[str, int]
    training: dict[str, Any]
    measures: dict[str, Any]
    made: str
    job: str
    software: dict[str, str]

    def checked_folder(self, store: Store) -> Path:
        """The folder on this machine's disk.

        Raises:
            InputError: a file is not what was trained.
        """
        if broken := self.damaged(store):
            raise InputError(
                f"{store.location(self.folder)}: damaged: {broken[0]}",
                hint=f"train '{self.name}' anew: the command that made it, with --force",
            )
        return self.local_folder(store)

    def described(self) -> dict[str, Any]:
        """As `models ls` and `show` print it."""
        about = self.model_dump(mode="json", exclude={"slug", "files", "source", "revision"})
        return about | {"folder": self.folder, "bytes": self.bytes, "files": [one.path for one in self.files]}


def find_trained(store: Store, name: str) -> TrainedModel | None:
    """The model of that name, or None.

    Raises:
        Conflict: another model's name differs in punctuation or case alone.
    """
    model = TrainedModel.in_use(store, slug_of(name))
    if model is not None and model.name != name:
        raise Conflict(
            f"trained model '{name}' reads like '{model.name}'",
            hint="choose a name that differs in letters or digits, or write it like that",
        )
    return model


def all_trained(store: Store) -> list[TrainedModel]:
    """All models, by name."""
    slugs = [
        name.removesuffix(".json") for name in store.children(TrainedModel.home) if name.endswith(".json")
    ]
    found = [TrainedModel.in_use(store, slug) for slug in slugs]
    return sorted((model for model in found if model is not None), key=lambda model: model.name)


def the_trained(store: Store, name: str) -> TrainedModel:
    """The model of that name; NotFound where there is none."""
    model = find_trained(store, name)
    if model is None:
        there = ", ".join(one.name for one in all_trained(store))
        raise NotFound(
            f"no trained model '{name}'" + (f"; there are: {there}" if there else ""),
            hint="`msmctl train ce-bce --name NAME` makes one",
        )
    return model


def keep(store: Store, folder: Path, about: dict[str, Any]) -> TrainedModel:
    """Copy a finished folder into the store and give it its name."""
    source = Source(folder, f"trained on {about['collection']}/{about['split']}")
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    model = TrainedModel.model_validate({**contents(source, paths), **about, "slug": slug_of(about["name"])})
    model.put(store, source)
    return model
