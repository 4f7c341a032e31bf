"""What a cross-encoder is: a name, and all that decides which score a pair of texts gets."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.models.entry import Entry

Kind = Literal["encoder", "decoder"]


class Template(BaseModel):
    """The text that a decoder reads: prefix + query + between + passage + suffix.

    The score is the logit of `yes` minus that of `no` as the next token. A text that is too long is cut at
    its end, before the suffix.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prefix: str
    between: str
    suffix: str
    yes: str = "yes"
    no: str = "no"


class CrossEncoder(Entry):
    """A cross-encoder.

    Attributes:
        kind: `encoder`: a classification head with one label; `decoder`: a language model with a template.
        model: Hub id or folder that `pull` copies from.
        max_length: Tokens, special ones included, after which a pair is cut; None: as the folder says.
        template: Of a decoder.
        margin: How far below the lowest positive a candidate must lie to be a negative, in logits of this
            model; None: nobody has found one.
    """

    kind: Kind = "encoder"
    model: str | None = None
    max_length: int | None = Field(None, ge=8, le=1 << 20)
    template: Template | None = None
    margin: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _complete(self) -> CrossEncoder:
        if (self.kind == "decoder") != (self.template is not None):
            raise ValueError("a decoder needs a template, an encoder takes none")
        return self
