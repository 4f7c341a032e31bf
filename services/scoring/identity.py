"""Whose scores are whose: what decides a score, as one hash. Nothing here loads a model."""

from __future__ import annotations

from services.cross_encoders.cross_encoder import CrossEncoder
from services.cross_encoders.models import InstalledModel, installed
from services.cross_encoders.profile import profile_of
from services.cross_encoders.registry import CrossEncoders
from services.errors import NotFound
from services.scoring.score_folder import ScoredBy
from services.store import Store, fingerprint

BACKEND, DTYPE = "torch", "float32"
ENGINE_VERSION = 1
"""Part of the scores' fingerprint: raised when the same model and texts would give other scores."""


def scored_by(ce: CrossEncoder, model: InstalledModel) -> ScoredBy:
    """Whose scores these are: the hash of model content, profile, precision and engine."""
    content = {
        "model": model.fingerprint,
        "profile": profile_of(ce, model.own).model_dump(mode="json"),
        "backend": BACKEND,
        "dtype": DTYPE,
        "engine": ENGINE_VERSION,
    }
    return ScoredBy(ce=ce.name, fingerprint=fingerprint(content), model=model.fingerprint)


def present_fingerprint(store: Store, name: str) -> str | None:
    """The fingerprint of what a cross-encoder would score now; None where it has no model here."""
    try:
        ce = CrossEncoders.load(store).get(name)
    except NotFound:  # imported scores, or an entry that was removed
        return None
    model = installed(store, ce)
    return None if model is None else scored_by(ce, model).fingerprint
