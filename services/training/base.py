"""What training starts from: a system's encoder, a cross-encoder, or a model trained before."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from services.cross_encoders import models as cross_encoders
from services.cross_encoders.registry import CrossEncoders
from services.errors import InputError, NotFound
from services.store import Store
from services.systems.model_folder import own_settings
from services.systems.models import installed_or_pull
from services.systems.profile import profile_of
from services.systems.registry import Registry
from services.systems.system import Pooling, Similarity, System
from services.training.methods import Makes
from services.training.trained import TrainedModel, find_trained


class Base(BaseModel):
    """A base as the training process gets it. Paths are of this machine's disk.

    Attributes:
        transformer: Folder of the network and its tokenizer.
        fingerprint: Of the model's content.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    makes: Makes
    transformer: str
    fingerprint: str
    pooling: Pooling = "mean"
    similarity: Similarity = "cosine"
    normalize: bool = False
    lowercase: bool = False
    query_prompt: str = ""
    passage_prompt: str = ""

    @property
    def prompts(self) -> dict[str, str]:
        """As sentence-transformers keeps them."""
        named = {"query": self.query_prompt, "document": self.passage_prompt}
        return {name: text for name, text in named.items() if text}


def open_base(store: Store, name: str, makes: Makes) -> Base:
    """The base of that name, copied into the store first where an installed package carries it.

    Args:
        store: Where models lie.
        name: A trained model, a system or a cross-encoder.
        makes: What is to be trained.

    Raises:
        NotFound: nothing has that name, or its model must be pulled first.
        InputError: it has no encoder, or one of the wrong kind.
    """
    base = _open(store, name, makes)
    if makes == "bi-encoder" and base.makes == "cross-encoder":
        raise InputError(
            f"base '{name}' is a cross-encoder: it makes no vector of a single text",
            hint="take an encoder: `msmctl systems ls` lists them as dense",
        )
    return base


def _open(store: Store, name: str, makes: Makes) -> Base:
    trained = find_trained(store, name)
    if trained is not None:
        return _of_trained(store, trained)
    try:
        return _of_system(store, Registry.load(store).get(name))
    except NotFound as error:
        found = _of_cross_encoder(store, name)
        if found is None:
            raise NotFound(
                f"nothing to start from: {error.message}",
                hint=f"{error.hint}; `msmctl models ls` lists what was trained",
            ) from error
        return found


def _of_system(store: Store, system: System) -> Base:
    if not system.is_dense:
        raise InputError(
            f"base '{system.name}' has no encoder", hint="take one that `msmctl systems ls` lists as dense"
        )
    model = installed_or_pull(store, system)
    profile = profile_of(system, model.own)
    return Base(
        name=system.name,
        makes="bi-encoder",
        transformer=str(model.local_folder(store) / model.own.transformer),
        fingerprint=model.fingerprint,
        pooling=profile.pooling,
        similarity=profile.similarity,
        normalize=model.own.normalize,
        lowercase=model.own.lowercase,
        query_prompt=profile.query_prompt,
        passage_prompt=profile.passage_prompt,
    )


def _of_cross_encoder(store: Store, name: str) -> Base | None:
    try:
        ce = CrossEncoders.load(store).get(name)
    except NotFound:
        return None
    model = cross_encoders.required(store, ce)
    if model.own.kind == "decoder":
        raise InputError(
            f"base '{ce.name}' is a decoder; what is trained here scores by a head with one label",
            hint="take an encoder: `msmctl ce ls` and `msmctl systems ls` list them",
        )
    return Base(
        name=ce.name,
        makes="cross-encoder",
        transformer=str(model.local_folder(store) / model.own.transformer),
        fingerprint=model.fingerprint,
        lowercase=model.own.lowercase,
    )


def _of_trained(store: Store, model: TrainedModel) -> Base:
    folder = model.checked_folder(store)
    if model.makes == "cross-encoder":
        return Base(
            name=model.name, makes=model.makes, transformer=str(folder), fingerprint=model.fingerprint
        )
    own = own_settings(folder)
    return Base(
        name=model.name,
        makes=model.makes,
        transformer=str(folder / own.transformer),
        fingerprint=model.fingerprint,
        pooling=own.pooling or "mean",
        similarity=own.similarity or "cosine",
        normalize=own.normalize,
        lowercase=own.lowercase,
        query_prompt=own.query_prompt or "",
        passage_prompt=own.passage_prompt or "",
    )
