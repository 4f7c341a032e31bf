"""How a system's model is run: the registry's word and the folder's own, agreed upon."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from services.errors import InputError
from services.systems.model_folder import OwnSettings
from services.systems.system import Activation, EncoderKind, Pooling, Prompts, Similarity, System


class Profile(BaseModel):
    """All that decides a vector besides the model's files and the text. Part of the vectors' fingerprint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pooling: Pooling
    similarity: Similarity
    max_length: int
    query_prompt: str = ""
    passage_prompt: str = ""

    def width(self, own: OwnSettings) -> int:
        """Width of what is made of a text."""
        return own.dim


class SparseProfile(Profile):
    """As `Profile`, of term weights: `pooling` max or sum over the tokens, the greatest `most_terms` kept."""

    activation: Activation
    most_terms: int | None = None

    def width(self, own: OwnSettings) -> int:
        """The size of the vocabulary."""
        return own.vocabulary


def agree(
    name: str,
    kind: EncoderKind,
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
    _require_kind(name, kind, own)
    if pooling and own.pooling and pooling != own.pooling:
        raise InputError(
            f"system '{name}': the entry says pooling '{pooling}', the model's own files say '{own.pooling}'",
            hint="this is another model, or the entry is wrong: mend one of them",
        )
    if kind == "sparse":
        if similarity == "cosine":
            raise InputError(f"system '{name}': term weights are compared by dot, not by cosine")
        pooling, similarity = pooling or own.pooling or "max", "dot"
    chosen = {
        "pooling": pooling or own.pooling,
        "similarity": similarity or own.similarity,
        "max-length": max_length or own.max_length,
    }
    for option, value in chosen.items():
        if value is None:
            raise InputError(
                f"system '{name}': neither the entry nor the model's files say its {option}",
                hint=f"state it: `msmctl systems add … --{option} …`"
                + ("; a sparse encoder (SPLADE) is added with `--kind sparse`" if own.vocabulary else ""),
            )
    query = own.query_prompt if prompts.query is None else prompts.query
    passage = own.passage_prompt if prompts.passage is None else prompts.passage
    if not own.pools_prompt and (query or passage):
        raise InputError(
            f"system '{name}': the model leaves prompts out of its pooling, which is not supported"
        )
    agreed = {
        "pooling": chosen["pooling"],
        "similarity": chosen["similarity"],
        "max_length": chosen["max-length"],
        "query_prompt": query or "",
        "passage_prompt": passage or "",
    }
    if kind == "sparse":
        return SparseProfile.model_validate(
            agreed | {"activation": own.activation or "relu", "most_terms": own.most_terms}
        )
    return Profile.model_validate(agreed)


def _require_kind(name: str, kind: EncoderKind, own: OwnSettings) -> None:
    """InputError where an entry and a folder speak of different kinds of model."""
    if kind == "dense" and own.kind == "sparse":
        raise InputError(
            f"system '{name}': the entry says dense, the model's own files say sparse",
            hint="`--kind sparse`, or a model that makes vectors",
        )
    if kind == "sparse" and own.kind == "dense" and own.pooling is not None:
        raise InputError(
            f"system '{name}': the entry says sparse, the model's own files pool token vectors",
            hint="`--kind dense`, or the folder of a SPLADE model",
        )
    if kind == "sparse" and not own.vocabulary:
        raise InputError(
            f"system '{name}': a sparse system needs a masked language model, which this is not "
            "(config.json: architectures)",
            hint="use the folder of a SPLADE model",
        )


def profile_of(system: System, own: OwnSettings) -> Profile:
    """The profile of a registered system with one of its models."""
    if not system.encodes:
        raise InputError(f"system '{system.name}' has no model")
    kind: EncoderKind = "sparse" if system.kind == "sparse" else "dense"
    return agree(system.name, kind, system.pooling, system.similarity, system.max_length, system.prompts, own)
