"""How a cross-encoder is run: the registry's word and the folder's own, agreed upon."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from services.cross_encoders.cross_encoder import CrossEncoder, Kind, Template
from services.cross_encoders.model_folder import OwnSettings
from services.errors import InputError


class Profile(BaseModel):
    """All that decides a score besides the model's files and the texts. Part of the scores' fingerprint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    max_length: int
    template: Template | None = None


def profile_of(ce: CrossEncoder, own: OwnSettings) -> Profile:
    """The profile of a registered cross-encoder with one of its models. The entry's word counts.

    Raises:
        InputError: entry and folder contradict each other, or neither says the length.
    """
    if ce.kind != own.kind:
        raise InputError(
            f"cross-encoder '{ce.name}': the entry says {ce.kind}, the model's own files say {own.kind}",
            hint="this is another model, or the entry is wrong: mend one of them",
        )
    length = ce.max_length or own.max_length
    if length is None:
        raise InputError(
            f"cross-encoder '{ce.name}': neither the entry nor the model's files say its max-length",
            hint="state it: `msmctl ce add … --max-length N`",
        )
    return Profile(kind=ce.kind, max_length=length, template=ce.template)
