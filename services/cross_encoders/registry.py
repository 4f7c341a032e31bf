"""The cross-encoders there are: `registry.yaml` and those that the user added to the store."""

from __future__ import annotations

from pathlib import Path

from services.cross_encoders.cross_encoder import CrossEncoder
from services.models.registry import NamedEntries


class CrossEncoders(NamedEntries[CrossEncoder]):
    """All cross-encoders; see `NamedEntries`."""

    noun = "cross-encoder"
    command = "ce"
    file = Path(__file__).with_name("registry.yaml")
    key = "cross_encoders"
    entry = CrossEncoder
