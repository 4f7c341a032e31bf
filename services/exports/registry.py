"""The export formats there are, by name."""

from __future__ import annotations

from services.exports.format import LineFormat
from services.exports.hard_negatives import HARD_NEGATIVES

FORMATS: dict[str, LineFormat] = {one.name: one for one in (HARD_NEGATIVES,)}
