"""The filters there are, by name and in the order of their help."""

from __future__ import annotations

from services.negatives.filters.ce_margin import CE_MARGIN
from services.negatives.filters.filter import REQUIRED, Filter
from services.negatives.filters.percent_of_positive import PERCENT_OF_POSITIVE
from services.negatives.filters.rank_range import RANK_RANGE
from services.negatives.filters.score_range import SCORE_RANGE
from services.negatives.filters.systems import MAX_PER_SYSTEM, MIN_SYSTEMS, SYSTEMS

FILTERS: dict[str, Filter] = {
    one.name: one
    for one in (
        CE_MARGIN,
        PERCENT_OF_POSITIVE,
        RANK_RANGE,
        SCORE_RANGE,
        SYSTEMS,
        MIN_SYSTEMS,
        MAX_PER_SYSTEM,
    )
}
ALIASES = {alias: one for one in FILTERS.values() for alias in one.aliases}


def help_of(one: Filter) -> str:
    """The help of a filter: what it keeps, its parameters, other names for it."""
    lines = [f"{one.name}: {one.help}"]
    for n, parameter in enumerate(one.parameters):
        required = ", required" if parameter.default is REQUIRED else ""
        place = f"{one.name}={parameter.name.upper()}" if n == 0 else f"{parameter.name}="
        lines.append(f"  {place}  {parameter.help}{required}")
    lines += [
        f"  {name}=VALUE  {alias.help} (sentence-transformers' word)" for name, alias in one.aliases.items()
    ]
    return "\n".join([*lines, f"  Example: --filter {one.example}"])
