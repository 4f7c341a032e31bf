"""Measures by name, as ir_measures spells them: `RR@10`, `nDCG@10`, `R(rel=2)@1000`, `AP`.

A collection's `min_rel` is the grade at which a passage answers (2 for TREC DL). A measure that knows
a `rel` and was not given one takes it from there; graded measures (nDCG) read the grades themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import ir_measures

from services.errors import UsageError

FULL_DEPTH = 1000
"""How deep a measure without cutoff looks."""
MAX_DEPTH = 10_000
"""What Elasticsearch returns at most for one query."""
_LISTED = "RR@10, nDCG@10, R@100, AP, P@5, Success@5, Judged@10"


@dataclass(frozen=True)
class Measure:
    """A measure.

    Attributes:
        name: As the user spelt it: the key of the result.
        measure: The ir_measures object.
        depth: How many ranks it looks at.
    """

    name: str
    measure: Any
    depth: int


def parse_measure(name: str, min_rel: int = 1) -> Measure:
    """One measure.

    Raises:
        UsageError: ir_measures has no such measure, not with these parameters, or cannot compute it here.
    """
    try:
        measure = ir_measures.parse_measure(name.strip())
    except NameError as error:
        known = {other.lower(): other for other in ir_measures.measures.registry}
        asked = name.strip().partition("@")[0].partition("(")[0].lower()
        near = [known[key] for key in get_close_matches(asked, known, n=3)]
        meant = f"did you mean {', '.join(near)}? " if near else ""
        raise UsageError(f"no measure '{name}'", hint=f"{meant}Some that there are: {_LISTED}") from error
    except (ValueError, SyntaxError) as error:
        raise UsageError(f"measure '{name}' cannot be read", hint=f"write it like {_LISTED}") from error
    if min_rel > 1 and "rel" in measure.SUPPORTED_PARAMS and "rel" not in measure.params:
        measure = measure(rel=min_rel)
    _refuse_wrong_parameters(name, measure)
    try:  # a provider may name a measure and lack the program that computes it
        list(ir_measures.iter_calc([measure], {"1": {"1": 1, "2": 0}}, {"1": {"2": 2.0, "1": 1.0}}))
    except Exception as error:
        raise UsageError(
            f"measure '{name}' cannot be computed here: {error}", hint=f"write it like {_LISTED}"
        ) from error
    return Measure(name.strip(), measure, measure.params.get("cutoff", FULL_DEPTH))


def _refuse_wrong_parameters(name: str, measure: Any) -> None:
    """What `validate_params` of ir_measures asserts, said to a reader."""
    for key, value in measure.params.items():
        if key not in measure.SUPPORTED_PARAMS:
            known = ", ".join(measure.SUPPORTED_PARAMS) or "none"
            raise UsageError(f"measure '{name}' has no parameter '{key}'", hint=f"it has: {known}")
        if not measure.SUPPORTED_PARAMS[key].validate(value) or (
            key == "cutoff" and not 0 < value <= MAX_DEPTH
        ):
            raise UsageError(
                f"measure '{name}': {key} {value!r} is not valid", hint=f"a cutoff is from 1 to {MAX_DEPTH:,}"
            )
    for key, info in measure.SUPPORTED_PARAMS.items():
        if info.required and key not in measure.params:
            form = f"{measure.NAME}@10" if key == "cutoff" else f"{measure.NAME}({key}=…)"
            raise UsageError(f"measure '{name}' needs a value for {key}", hint=f"write it like {form}")


def parse_measures(names: list[str], min_rel: int = 1) -> list[Measure]:
    """Several measures, each once."""
    return [parse_measure(name, min_rel) for name in dict.fromkeys(names)]


@dataclass(frozen=True)
class Threshold:
    """A value that a measure must reach, from `RR@10=.7`."""

    name: str
    least: float


def parse_threshold(text: str) -> Threshold:
    """`MEASURE=VALUE`; the last '=' counts, as parameters have their own.

    Raises:
        UsageError: it is not of that form.
    """
    name, separator, value = text.rpartition("=")
    try:
        least = float(value)
    except ValueError:
        separator, least = "", 0.0
    if not separator or not name or least != least:
        raise UsageError(f"'{text}' is no threshold", hint="write it like --min RR@10=.7")
    parse_measure(name)
    return Threshold(name.strip(), least)
