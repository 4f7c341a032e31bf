"""An encoder: a system's model from the store, ready to encode queries and passages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Generic, Literal

from services.encoding.backend import R, Vectors, backend_name, load_backend
from services.encoding.engine import ENGINE_VERSION, Engine
from services.encoding.tokens import Tokenizer
from services.encoding.weights import Weights
from services.errors import InputError, MsmError
from services.settings import Settings
from services.store import Store, fingerprint
from services.systems.models import InstalledModel, required
from services.systems.profile import Profile, profile_of
from services.systems.system import Similarity, System

PromptKind = Literal["query", "passage"]
DTYPE = "float32"


class Encoder(Generic[R]):
    """A loaded model. `engine` is what jobs use; `encode` is for a handful of texts."""

    def __init__(self, engine: Engine[R], profile: Profile) -> None:
        self.engine = engine
        self.profile = profile

    @property
    def dim(self) -> int:
        """Width of a vector; of term weights the size of the vocabulary."""
        return self.engine.backend.dim

    @property
    def similarity(self) -> Similarity:
        """How its rows are compared; vectors of `cosine` have unit length."""
        return self.profile.similarity

    @property
    def device(self) -> str:
        """Kind of device: cpu or cuda."""
        return self.engine.backend.device

    def prompt(self, kind: PromptKind) -> str:
        """What is put before a query or a passage."""
        return self.profile.query_prompt if kind == "query" else self.profile.passage_prompt

    def encode(self, texts: Sequence[str], prompt: PromptKind = "query") -> R:
        """Vectors, float32 [texts, dim], or term weights.

        Raises:
            InputError: a text cannot be encoded.
        """
        encoded = self.engine.encode(texts, prompt=self.prompt(prompt), fill=False)
        if encoded.dead:
            n, reason = next(iter(encoded.dead.items()))
            raise InputError(f"text {n} ({texts[n][:60]!r}) cannot be encoded: {reason}")
        return encoded.vectors


DenseEncoder = Encoder[Vectors]
SparseEncoder = Encoder[Weights]
AnyEncoder = DenseEncoder | SparseEncoder


def vectors_fingerprint(model: InstalledModel, profile: Profile) -> str:
    """Hash of all that decides a vector but the text: model content, profile, precision, engine."""
    return fingerprint(
        {
            "model": model.fingerprint,
            "profile": profile.model_dump(mode="json"),
            "backend": backend_name(profile),
            "dtype": DTYPE,
            "engine": ENGINE_VERSION,
        }
    )


def load_encoder(store: Store, system: System, settings: Settings) -> AnyEncoder:
    """The encoder of a system's present model, from the store.

    Raises:
        InputError: the system has no encoder (bm25).
        NotFound: its model has not been pulled.
        MsmError: the model's files are damaged.
    """
    if not system.encodes:
        raise InputError(f"system '{system.name}' has no encoder")
    model = required(store, system)
    return load_model(store, model, profile_of(system, model.own), settings)


def load_dense(store: Store, system: System, settings: Settings) -> DenseEncoder:
    """As `load_encoder`, of a system that makes vectors. InputError for any other."""
    if not system.is_dense:
        raise InputError(f"system '{system.name}' makes no vectors")
    encoder: DenseEncoder = load_encoder(store, system, settings)  # type: ignore[assignment]
    return encoder


def load_model(store: Store, model: InstalledModel, profile: Profile, settings: Settings) -> AnyEncoder:
    """The encoder of exactly this model, whatever its system uses by now; loaded once per process.

    Raises:
        MsmError: the model's files are damaged.
    """
    return _loaded(_Key(store, model), profile, settings.device, settings.threads)


class _Key:
    """A model as a cache key: equal when the content is."""

    def __init__(self, store: Store, model: InstalledModel) -> None:
        self.store = store
        self.model = model

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and (self.store.url, self.model) == (other.store.url, other.model)

    def __hash__(self) -> int:
        return hash(self.model.fingerprint)


@lru_cache(maxsize=2)
def _loaded(key: _Key, profile: Profile, device: str, threads: int) -> AnyEncoder:
    return _fresh(key.store, key.model, profile, device, threads)


def fresh_encoder(store: Store, model: InstalledModel, profile: Profile, settings: Settings) -> AnyEncoder:
    """As `load_model`, loaded now; nobody but the caller keeps it."""
    return _fresh(store, model, profile, settings.device, settings.threads)


def _fresh(store: Store, model: InstalledModel, profile: Profile, device: str, threads: int) -> AnyEncoder:
    damaged = model.damaged(store)
    if damaged:
        raise MsmError(
            f"{store.location(model.folder)}: damaged: {damaged[0]}",
            hint=f"`msmctl systems pull {model.system}` copies it anew",
        )
    folder, own = model.local_folder(store), model.own
    backend: Any = load_backend(folder, own, profile, device, threads)
    tokenizer = Tokenizer(folder / own.transformer, profile.max_length, lowercase=own.lowercase)
    return Encoder(Engine(tokenizer, backend), profile)
