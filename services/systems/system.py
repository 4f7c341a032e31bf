"""What a system is: a name, and all that decides which vector a text gets and how vectors are compared."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.models.entry import Entry

Pooling = Literal["mean", "cls", "max", "lasttoken"]
Similarity = Literal["cosine", "dot"]


class Prompts(BaseModel):
    """Texts put before a query or a passage. None: the model folder's own, if it has one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str | None = None
    passage: str | None = None


class System(Entry):
    """Anything that ranks passages.

    Attributes:
        name: The name that users type; `slug` is its form in index fields and folder names.
        kind: `bm25`, `dense` for an encoder, or `imported`: known by runs that others made, cannot be asked.
        model: Hub id or folder that `pull` copies from; None where nobody has published one.
        package: Installed Python package that carries the model, so that no hub is needed.
        base: Hub id that our recipe starts from, where the system must be trained.
        pooling: How token vectors become one; None: as the model folder's own files say.
        similarity: How vectors are compared: `cosine` stores them at unit length, `dot` raw.
        max_length: Tokens, special ones included, after which a text is cut; None: as the folder says.
        status: `published`, or `trained` by the recipe named in `recipe`.
        reference_key: The system's key in `msmarco-hard-negatives` and in our exports.
        note: What is inferred rather than documented.
        order: Position in the registry; user-added systems follow.
    """

    kind: Literal["bm25", "dense", "imported"] = "dense"
    model: str | None = None
    package: str | None = None
    base: str | None = None
    pooling: Pooling | None = None
    similarity: Similarity
    max_length: int | None = Field(None, ge=3, le=1 << 20)
    prompts: Prompts = Prompts()
    status: Literal["published", "trained"] = "published"
    recipe: str | None = None
    reference_key: str = ""
    k1: float | None = None
    b: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _key_is_name(cls, values: object) -> object:
        if isinstance(values, dict) and not values.get("reference_key"):
            return {**values, "reference_key": values.get("name", "")}
        return values

    @model_validator(mode="after")
    def _complete(self) -> System:
        if self.kind == "bm25" and (self.k1 is None or self.b is None):
            raise ValueError("a bm25 system needs k1 and b")
        if self.status == "trained" and not (self.recipe and self.base):
            raise ValueError("a trained system names its recipe and its base")
        return self

    @property
    def is_dense(self) -> bool:
        """Whether the system encodes texts into vectors."""
        return self.kind == "dense"

    @property
    def is_imported(self) -> bool:
        """Whether the system is known by imported runs only."""
        return self.kind == "imported"
