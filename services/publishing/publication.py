"""What published negatives were made from, and which queries are published: the `_meta` of their index."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from services.mining.exclusion import rule
from services.mining.ranking import Ords
from services.negatives.opening import Opened
from services.store import fingerprint
from services.store.fingerprint import short

MANY = 10_000_000
"""Above so many candidates only a sample is published, without texts, unless told otherwise."""
SAMPLE = 10_000
"""Queries of that sample."""
_FORM = 2
"""Part of the fingerprint: raised when the same inputs would give other documents."""


@dataclass(frozen=True)
class Extent:
    """How much is published.

    Attributes:
        queries: So many, drawn at random; None: all, or `SAMPLE` where there are many candidates.
        everything: All queries, however many candidates they have.
        texts: Whether passages' texts are published; None: where there are not many candidates.
        seed: Of the draw.
    """

    queries: int | None = None
    everything: bool = False
    texts: bool | None = None
    seed: int = 0

    def settled(self, queries: int, candidates: int) -> Extent:
        """With every choice made, for a split of so many queries and candidates."""
        many = candidates > MANY
        wanted = self.queries or (SAMPLE if many and not self.everything else queries)
        texts = not many if self.texts is None else self.texts
        return Extent(min(wanted, queries), wanted >= queries, texts, self.seed)

    def choose(self, qords: Ords) -> Ords:
        """The published ones of some queries, ascending."""
        if self.queries is None or self.queries >= len(qords):
            return qords
        chosen = np.random.default_rng(self.seed).choice(len(qords), self.queries, replace=False)
        return qords[np.sort(chosen)]


class PublishedSystem(BaseModel):
    """A system among whose candidates the published ones are.

    Attributes:
        depth: Negatives per query and system.
        run: Fingerprint of the run.
        model: Of what ranked: the vectors, or BM25's analysis and parameters.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    depth: int
    run: str
    model: str


class Publication(BaseModel):
    """The `_meta` of an index of published negatives.

    Attributes:
        job: The job that builds it: the same job never makes a second version.
        state: `complete` only when every document is there; nothing else is served.
        inputs: Fingerprint of all that the documents depend on, their time and job left out.
        queries: How many are published.
        of_queries: Of how many.
        systems: By slug.
        described: Filters, cross-encoder, relabelling and marks, as exports' manifests have them.
        rules: Margins in logits, and of which positives, by which verdicts were given.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: int = 1
    collection: str
    collection_version: int
    split: str
    job: str
    created: str
    completed: str = ""
    state: Literal["building", "complete"] = "building"
    inputs: str
    queries: int
    of_queries: int
    texts: bool
    seed: int
    systems: dict[str, PublishedSystem]
    described: dict[str, Any]
    rules: dict[str, float | str | None]
    documents: int = 0
    dead: int = 0


def publication_of(opened: Opened, extent: Extent, *, job: str, created: str) -> Publication:
    """What publishing these candidates now would be.

    Args:
        opened: What is read.
        extent: With every choice made.
        job: Who publishes.
        created: ISO 8601.
    """
    candidates = opened.candidates
    state = candidates.collection.state
    systems = {
        one.system.slug: PublishedSystem(
            name=one.system.name,
            depth=one.depth,
            run=short(fingerprint(one.run.manifest.model_dump(mode="json"))),
            model=short(one.run.manifest.inputs.system_fingerprint),
        )
        for one in opened.runs
    }
    rules = asdict(candidates.rules)
    decisive = {
        "form": _FORM,
        "collection": state.fingerprint,
        "split": candidates.split,
        "extent": asdict(extent),
        "systems": {slug: system.model_dump() for slug, system in systems.items()},
        "described": opened.described,
        "rules": rules,
        "exclusion": rule(),
    }
    return Publication(
        collection=state.name,
        collection_version=state.version,
        split=candidates.split,
        job=job,
        created=created,
        inputs=fingerprint(decisive),
        queries=len(extent.choose(candidates.qords)),
        of_queries=len(candidates.qords),
        texts=bool(extent.texts),
        seed=extent.seed,
        systems=systems,
        described=opened.described,
        rules=rules,
    )
