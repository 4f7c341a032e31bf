"""What a filter is: a name, help, typed parameters, and which of the rows that are left it keeps.

A new filter is one file and one line in `services/negatives/filters/registry.py`. Filters neither encode
nor score: all that they see are the columns of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from services.negatives.block import CandidateBlock, Index, Mask
from services.negatives.verdicts import Rules
from services.systems.registry import Registry
from services.systems.system import System

Arguments = Mapping[str, Any]
REQUIRED = object()


@dataclass(frozen=True)
class Parameter:
    """A parameter of a filter.

    Attributes:
        name: As users write it in `--filter NAME=…,name=value`.
        help: One line, with unit and default.
        parse: Turns what was written into a value; raises ValueError with what is wrong.
        default: Taken where it is not written; `REQUIRED` where it must be.
    """

    name: str
    help: str
    parse: Callable[[str], Any]
    default: Any = None


class Alias(NamedTuple):
    """A word of sentence-transformers' `mine_hard_negatives` for a filter.

    Attributes:
        parameter: The parameter that its value belongs to.
        translate: Its value, as our parameter has it.
        help: What it says in our words.
    """

    parameter: str
    translate: Callable[[str], str]
    help: str


@dataclass(frozen=True)
class Sources:
    """What there is to filter by, for the check of a filter's arguments before anything is read.

    Attributes:
        systems: Those that are read, in registry order.
        registry: All systems.
        ce: Name of the cross-encoder whose scores are read.
        margin: Its own margin in logits; None where it has none.
        collection: Name, for hints.
    """

    systems: tuple[System, ...]
    registry: Registry
    ce: str | None = None
    margin: float | None = None
    collection: str = ""

    def read(self, name: str) -> System:
        """A system that is read, by any spelling of its name; ValueError or NotFound for another."""
        system = self.registry.get(name)
        if system not in self.systems:
            there = ", ".join(one.name for one in self.systems)
            raise ValueError(f"'{system.name}' is not among the systems read: {there}")
        return system


def _as_they_are(arguments: Arguments, sources: Sources) -> Arguments:
    return arguments


def _nothing(arguments: Arguments) -> frozenset[str]:
    return frozenset()


CE = "ce"
"""The name of cross-encoder scores in `Filter.needs`."""


@dataclass(frozen=True)
class Filter:
    """A filter. The first parameter may be written without its name: `--filter rank-range=1:30`.

    Attributes:
        keep: Of a block and the rows that are left, those that this filter keeps (a subset of them).
        needs: Names of the scores that it reads: `ce`, `cosine:<system>`.
        prepare: Checks the arguments against what is read and completes them; raises ValueError.
        rules: How verdicts read scores where this filter applies; None: they do not depend on it. A
            selection has one such filter at most.
        known: Per row, whether it has the scores that `keep` compares. A filter that has this looks for
            unlabelled positives: what is not scored does not pass, what a person marked `keep` always does.
        admits: Whether a positive and a candidate may stand together, per pair of positions in
            `block.positives` and `block.pairs`; None: whatever is kept stands with every positive.
    """

    name: str
    help: str
    parameters: tuple[Parameter, ...]
    keep: Callable[[CandidateBlock, Mask, Arguments], Mask]
    needs: Callable[[Arguments], frozenset[str]] = _nothing
    prepare: Callable[[Arguments, Sources], Arguments] = _as_they_are
    rules: Callable[[Arguments], Rules] | None = None
    known: Callable[[CandidateBlock, Arguments], Mask] | None = None
    admits: Callable[[CandidateBlock, Index, Index, Arguments], Mask] | None = None
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    example: str = ""
