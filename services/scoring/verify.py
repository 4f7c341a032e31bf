"""`ce verify`: are a model's files whole, and does it give sound scores?"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from services.cross_encoders.models import required
from services.cross_encoders.profile import Profile, profile_of
from services.cross_encoders.registry import CrossEncoders
from services.scoring.scorer import load_scorer
from services.settings import Settings
from services.store import Store

_QUERY = "why is the sea salt?"
_TEXTS = ("Rivers carry minerals to the sea, where they stay behind as salt.", "Thunder is heated air.")


class Report(BaseModel):
    """What was found. `answer` and `other` are scores of a question, with an answer and with another text."""

    model_config = ConfigDict(extra="forbid")

    ce: str
    fingerprint: str
    source: str
    revision: str | None
    profile: Profile
    notes: list[str] = []
    device: str | None = None
    answer: float | None = None
    other: float | None = None
    problems: list[str] = []
    remedy: str = ""


def verify_cross_encoder(store: Store, settings: Settings, name: str) -> Report:
    """Check files by sha256, then what comes out.

    Raises:
        NotFound: no such cross-encoder or model.
        InputError: the model cannot be run.
    """
    ce = CrossEncoders.load(store).get(name)
    model = required(store, ce)
    report = Report(
        ce=ce.name,
        fingerprint=model.fingerprint,
        source=model.source,
        revision=model.revision,
        profile=profile_of(ce, model.own),
    )
    if model.own.max_length not in (None, report.profile.max_length):
        report.notes.append(
            f"max_length {report.profile.max_length} is the entry's; the model's own files say "
            f"{model.own.max_length}"
        )
    report.problems = model.damaged(store)
    if not report.problems:
        scorer = load_scorer(store, ce, settings)
        scores = scorer.score(_QUERY, _TEXTS)
        report.device = scorer.device
        report.answer, report.other = (round(float(score), 6) for score in scores)
        if report.answer <= report.other:
            report.notes.append("the answer to a simple question does not score above another text")
        if np.array_equal(scores[:1], scores[1:]):
            report.problems.append("two different texts have the same score")
    if report.problems:
        report.remedy = f"`msmctl ce pull {ce.name}` copies the model anew"
    return report
