"""How a system's model is run: the registry's word and the folder's own, agreed upon."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from services.errors import InputError
from services.systems.model_folder import OwnSettings
from services.systems.system import Pooling, Prompts, Similarity, System


class Profile(BaseModel):
    """All that decides a vector besides the model's files and the text. Part of the vectors' fingerprint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pooling: Pooling
    similarity: Similarity
    max_length: int
    query_prompt: str = ""
    passage_prompt: str = ""


def agree(
    name: str,
    pooling: Pooling | None,
    similarity: Similarity | None,
    max_length: int | None,
    prompts: Prompts,
    own: OwnSettings,
) -> Profile:
    """The profile of a stated entry (None: not stated) and a model folder.

    The entry's word counts; the folder fills what it leaves open. A contradiction on pooling is an error,
    as one of the two must be wrong. One on similarity is not: a folder often says `cosine` only because
    sentence-transformers writes that where nobody has said anything.

    Raises:
        InputError: they contradict each other, or neither says what must be known.
    """
    if pooling and own.pooling and pooling != own.pooling:
        raise InputError(
            f"system '{name}': the entry says pooling '{pooling}', the model's own files say '{own.pooling}'",
            hint="this is another model, or the entry is wrong: mend one of them",
        )
    chosen = {
        "pooling": pooling or own.pooling,
        "similarity": similarity or own.similarity,
        "max-length": max_length or own.max_length,
    }
    for option, value in chosen.items():
        if value is None:
            raise InputError(
                f"system '{name}': neither the entry nor the model's files say its {option}",
                hint=f"state it: `msmctl systems add … --{option} …`",
            )
    query = own.query_prompt if prompts.query is None else prompts.query
    passage = own.passage_prompt if prompts.passage is None else prompts.passage
    if not own.pools_prompt and (query or passage):
        raise InputError(
            f"system '{name}': the model leaves prompts out of its pooling, which is not supported"
        )
    return Profile.model_validate(
        {
            "pooling": chosen["pooling"],
            "similarity": chosen["similarity"],
            "max_length": chosen["max-length"],
            "query_prompt": query or "",
            "passage_prompt": passage or "",
        }
    )


def profile_of(system: System, own: OwnSettings) -> Profile:
    """The profile of a registered system with one of its models."""
    return agree(system.name, system.pooling, system.similarity, system.max_length, system.prompts, own)
