"""Make a trained model known where its kind is used: a cross-encoder to score with, a system by `promote`."""

from __future__ import annotations

from services.cross_encoders import models as cross_encoders
from services.cross_encoders.cross_encoder import CrossEncoder
from services.cross_encoders.registry import CrossEncoders
from services.errors import UsageError
from services.store import Store
from services.systems.registry import Registry
from services.systems.system import System
from services.training.methods import Makes
from services.training.trained import TrainedModel


def check(store: Store, name: str, makes: Makes, *, ours: bool) -> None:
    """See that a model of that name can be registered.

    Args:
        store: Where the registries are.
        name: Of the model.
        makes: Its kind.
        ours: A model that was trained here has the name already, and is to be replaced.

    Raises:
        UsageError: it is no name, or means something else.
        Conflict: the name is taken.
    """
    if makes == "cross-encoder":
        CrossEncoders.require_name(name)
        CrossEncoders.save(store, CrossEncoder.model_validate({"name": name}), replace=ours, dry_run=True)
    else:
        Registry.require_name(name)
        Registry.save(
            store, System.model_validate({"name": name, "similarity": "cosine"}), replace=ours, dry_run=True
        )


def add(store: Store, model: TrainedModel) -> None:
    """Register a cross-encoder; a bi-encoder becomes a system only when somebody promotes it."""
    if model.makes == "cross-encoder":
        folder = str(model.local_folder(store))
        cross_encoders.add(store, model.name, folder, max_length=model.recipe["max_length"], replace=True)


def promote(store: Store, model: TrainedModel) -> System:
    """Make a trained bi-encoder a system, with the model in the store; again for a model made anew.

    Raises:
        UsageError: it is a cross-encoder.
        Conflict: another system has the name.
    """
    from services.systems.models import add as add_system

    if model.makes != "bi-encoder":
        raise UsageError(
            f"'{model.name}' is a cross-encoder: it scores pairs and serves no index",
            hint=f"`msmctl score --ce {model.name}` scores candidates with it",
        )
    folder = model.checked_folder(store)
    known = any(system.name == model.name for system in Registry.load(store))
    system, _ = add_system(store, model.name, str(folder), replace=known)
    return system
