"""Who computes: the models process, a foreign server, or this process."""

from __future__ import annotations

from services.inference.models import ModelService
from services.settings import Settings
from services.store import Store


def models(settings: Settings, store: Store) -> ModelService:
    """The models of an installation, by MSM_EMBED_URL and MSM_RERANK_URL.

    Empty: the local stack's models process, or this process where there is no local stack.
    """
    from services.inference.local import LocalModels

    return LocalModels(settings, store)
