"""What a system is: a name, and all that decides which vector a text gets and how vectors are compared."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.models.entry import Entry

Pooling = Literal["mean", "cls", "max", "lasttoken", "sum"]
Similarity = Literal["cosine", "dot"]
EncoderKind = Literal["dense", "sparse"]
Activation = Literal["relu", "log1p_relu"]
SPARSE_POOLINGS: tuple[Pooling, ...] = ("max", "sum")
"""How a sparse encoder pools what tokens say of a term; the first where nothing is said."""
ACTIVATIONS: tuple[Activation, ...] = ("relu", "log1p_relu")
"""What becomes of a sparse encoder's logits before the logarithm."""


class Prompts(BaseModel):
    """Texts put before a query or a passage. None: the model folder's own, if it has one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str | None = None
    passage: str | None = None


class System(Entry):
    """Anything that ranks passages.

    Attributes:
        name: The name that users type; `slug` is its form in index fields and folder names.
        kind: `bm25`; `dense`, an encoder of texts into vectors; `sparse`, one into term weights; `imported`:
            known by runs that others made, cannot be asked.
        model: Hub id or folder that `pull` copies from; None where nobody has published one.
        package: Installed Python package that carries the model, so that no hub is needed.
        base: Hub id that our recipe starts from, where the system must be trained.
        pooling: How token vectors become one, or what tokens say of a term (`max`, `sum`); None: as the model
            folder's own files say.
        similarity: How vectors are compared: `cosine` stores them at unit length, `dot` raw. Term
            weights are compared by `dot`.
        max_length: Tokens, special ones included, after which a text is cut; None: as the folder says.
        status: `published`, or `trained` by the recipe named in `recipe`.
        reference_key: The system's key in `msmarco-hard-negatives` and in our exports.
        note: What is inferred rather than documented.
        order: Position in the registry; user-added systems follow.
    """

    kind: Literal["bm25", "dense", "sparse", "imported"] = "dense"
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
        if self.kind == "dense" and self.pooling == "sum":
            raise ValueError("pooling sum is for sparse systems")
        if self.kind == "sparse" and (
            self.similarity != "dot" or self.pooling not in (None, *SPARSE_POOLINGS)
        ):
            raise ValueError("a sparse system compares by dot, and pools by max or sum")
        if self.status == "trained" and not (self.recipe and self.base):
            raise ValueError("a trained system names its recipe and its base")
        return self

    @property
    def is_dense(self) -> bool:
        """Whether the system encodes texts into vectors."""
        return self.kind == "dense"

    @property
    def encodes(self) -> bool:
        """Whether the system has a model that encodes texts, into vectors or into term weights."""
        return self.kind in ("dense", "sparse")

    @property
    def is_imported(self) -> bool:
        """Whether the system is known by imported runs only."""
        return self.kind == "imported"
