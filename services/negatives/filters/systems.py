"""Filters by who returned a passage, and by how many did."""

from __future__ import annotations

import numpy as np

from services.negatives.block import CandidateBlock, Mask
from services.negatives.filters.filter import REQUIRED, Arguments, Filter, Parameter, Sources
from services.negatives.filters.values import count, names


def _prepare(arguments: Arguments, sources: Sources) -> Arguments:
    return {**arguments, "names": [sources.read(name).name for name in arguments["names"]]}


def _of_systems(block: CandidateBlock, kept: Mask, arguments: Arguments) -> Mask:
    places = [n for n, system in enumerate(block.systems) if system.name in arguments["names"]]
    theirs: Mask = kept & np.isin(block.system, places)
    return theirs


def _of_several(block: CandidateBlock, kept: Mask, arguments: Arguments) -> Mask:
    systems = np.bincount(block.pair[kept], minlength=len(block.pairs))
    enough: Mask = kept & (systems[block.pair] >= arguments["n"])
    return enough


def _of_some(block: CandidateBlock, kept: Mask, arguments: Arguments) -> Mask:
    taken = np.zeros(len(block.pairs), np.bool_)
    chosen = np.zeros(len(block), np.bool_)
    for system in range(len(block.systems)):
        rows, starts = block.by_system(kept & ~taken[block.pair], system)
        rows = rows[np.arange(len(rows)) - np.repeat(starts[:-1], np.diff(starts)) < arguments["n"]]
        chosen[rows] = True
        taken[block.pair[rows]] = True
    return chosen


SYSTEMS = Filter(
    name="systems",
    help="Only what these systems returned.",
    parameters=(Parameter("names", "systems, joined by commas", names, REQUIRED),),
    keep=_of_systems,
    prepare=_prepare,
    example="systems=bm25,all-MiniLM-L6-v2",
)
MIN_SYSTEMS = Filter(
    name="min-systems",
    help="Passages that at least N systems still have, at this place among the filters.",
    parameters=(Parameter("n", "how many systems", count, REQUIRED),),
    keep=_of_several,
    example="min-systems=2",
)
MAX_PER_SYSTEM = Filter(
    name="max-per-system",
    help="The first N of each system that no system before it, in registry order, has taken.",
    parameters=(Parameter("n", "passages per query and system", count, REQUIRED),),
    keep=_of_some,
    example="max-per-system=5",
)
