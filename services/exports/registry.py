"""The export formats there are, by name and in the order of their help."""

from __future__ import annotations

from typing import Any

from services.exports.format import Format
from services.exports.formats.hard_negatives import HARD_NEGATIVES

FORMATS: dict[str, Format[Any]] = {one.name: one for one in (HARD_NEGATIVES,)}
