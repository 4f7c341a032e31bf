"""`systems verify`: are a model's files whole, and does it give sound vectors?"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from services.collections.collection import Collection
from services.encoding.encoder import load_encoder
from services.encoding.vectors import open_rows
from services.encoding.weights import Weights
from services.settings import Settings
from services.store import Store
from services.systems.models import installed_or_pull
from services.systems.profile import Profile, profile_of
from services.systems.registry import Registry

_TEXTS = (
    "what is a bi-encoder?",
    "A bi-encoder encodes query and passage apart; their vectors are compared.",
)


class Report(BaseModel):
    """What was found. Norms and `similarity_of_two` are of two fixed texts; None where nothing was loaded."""

    model_config = ConfigDict(extra="forbid")

    system: str
    fingerprint: str
    source: str
    revision: str | None
    profile: Profile
    notes: list[str] = []
    device: str | None = None
    dim: int | None = None
    norms: list[float] | None = None
    similarity_of_two: float | None = None
    shards_checked: int | None = None
    problems: list[str] = []
    remedy: str = ""


def verify_system(store: Store, settings: Settings, name: str, collection: str | None = None) -> Report:
    """Check files by sha256, then what comes out; with a collection, its vectors' shards by sha256 too.

    Raises:
        NotFound: no such system, model or collection.
    """
    system = Registry.load(store).get(name)
    model = installed_or_pull(store, system)
    profile = profile_of(system, model.own)
    report = Report(
        system=system.name,
        fingerprint=model.fingerprint,
        source=model.source,
        revision=model.revision,
        profile=profile,
    )
    for what in ("similarity", "max_length"):
        used, own = getattr(profile, what), getattr(model.own, what)
        if own is not None and own != used:
            report.notes.append(f"{what} {used} is the registry's; the model's own files say {own}")
    report.problems = model.damaged(store)
    if not report.problems:
        _try_out(report, store, settings)
    if report.problems:
        report.remedy = f"`msmctl systems pull {system.name}` copies the model anew"
    if collection is not None:
        _check_shards(report, Collection.open(store, collection))
    return report


def _try_out(report: Report, store: Store, settings: Settings) -> None:
    encoder = load_encoder(store, Registry.load(store).get(report.system), settings)
    made = encoder.encode([_TEXTS[0]], "query"), encoder.encode([_TEXTS[1]], "passage")
    vectors = np.vstack([one.dense() if isinstance(one, Weights) else one for one in made])
    norms = np.linalg.norm(vectors, axis=1)
    report.device, report.dim = encoder.device, encoder.dim
    report.norms = [round(float(norm), 6) for norm in norms]
    report.similarity_of_two = round(float(vectors[0] @ vectors[1]), 6)
    if vectors.shape[1] != encoder.dim:
        report.problems.append(f"vectors have {vectors.shape[1]} dimensions, its config says {encoder.dim}")
    if report.profile.similarity == "cosine" and np.abs(norms - 1).max() > 1e-5:
        report.problems.append(f"vectors of a cosine system have norms {report.norms} instead of 1")
    if norms.min() == 0:
        report.problems.append("a vector is zero")


def _check_shards(report: Report, collection: Collection) -> None:
    system = Registry.load(collection.store).get(report.system)
    vectors = open_rows(collection, system)
    if vectors is None:
        report.problems.append(f"collection '{collection.name}' has no complete vectors by this model")
        report.remedy = f"`msmctl encode --collection {collection.name} --system {system.name}`"
        return
    damaged = [*vectors.passages.damaged(), *vectors.queries.damaged()]
    report.shards_checked = len(vectors.passages.shards) + len(vectors.queries.shards)
    if damaged:
        report.problems += [f"{vectors.folder}: {name}: sha256 differs" for name in damaged]
        report.remedy = f"`msmctl encode --force --collection {collection.name} --system {system.name}`"
