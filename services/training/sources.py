"""Where a run's examples come from: candidates, filters, people's marks, and what they all hash to."""

from __future__ import annotations

from typing import Any

from services.collections.collection import Collection
from services.errors import Unavailable
from services.jobs.kind import Context
from services.negatives.marks import Marks
from services.negatives.opening import Asked, Opened, open_negatives
from services.store import fingerprint
from services.training.base import Base
from services.training.recipe import Recipe


def open_candidates(context: Context, collection: Collection, split: str, recipe: Recipe) -> Opened:
    """The candidates of a split and the negatives among them, as a recipe asks for them.

    Raises:
        NotFound, UsageError, CheckFailed: they are not there, or do not fit the recipe.
        Unavailable: people's marks cannot be read.
    """
    wanted = recipe.data
    return open_negatives(
        collection,
        Asked(
            split=split,
            systems=wanted.systems,
            ce=wanted.ce,
            filters=wanted.filters,
            relabel=wanted.relabel,
            marks=_marks(context, collection) if wanted.marks else None,
        ),
    )


def _marks(context: Context, collection: Collection) -> Marks:
    """People's marks, read as whom this process is; none where no stack was ever set up."""
    from services.negatives.marks_store import MarksStore
    from services.stack.endpoints import remembered

    settings = context.settings
    if not settings.es_url and not remembered(settings):
        return Marks(collection, [])
    try:
        return MarksStore(context.elastic(), settings).of(collection)
    except Unavailable as error:
        raise Unavailable(
            f"people's marks cannot be read: {error.message}",
            hint="`msmctl up` starts the local stack; `--no-marks` leaves marks out of account",
        ) from error


def fingerprints(collection: Collection, base: Base, opened: Opened) -> dict[str, Any]:
    """Fingerprints of all that decides a run's result besides its recipe."""
    return {
        "collection": collection.state.fingerprint,
        "base": base.fingerprint,
        "runs": {
            one.system.name: fingerprint([part.sha256 for part in one.run.manifest.parts])
            for one in opened.runs
        },
        "negatives": opened.described,
    }
