"""From the ids of a file to the positions of a collection, many queries at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.collections.bad_row import BadRow, Rejects
from services.collections.collection import Collection
from services.errors import InputError
from services.imports.scored import BadScores, Ints, QueryScores, ScoresFile
from services.mining.numbers import TOO_LARGE
from services.mining.ranking import Ords
from services.scoring.score_parts import Triples
from services.shown import shown

_PAIRS = 1 << 19
_QUERIES = 1 << 16


class Resolver:
    """Reads a file of scores against a collection.

    Args:
        file: Its path, for messages.
        source: What is in it.
        collection: Whose ids count.
        rejects: Takes what the collection does not have, one entry per query.

    Attributes:
        unknown_queries: Places whose query the collection does not have.
        unknown_pairs: Pairs of known queries whose passage it does not have.
    """

    def __init__(self, file: Path, source: ScoresFile, collection: Collection, rejects: Rejects) -> None:
        self._file = str(file)
        self._source = source
        self._collection = collection
        self._rejects = rejects
        self._pids = _PassageIds(collection)
        self._seen = np.full(collection.state.query_count, -1, np.int64)
        self.unknown_queries = 0
        self.unknown_pairs = 0

    def __iter__(self) -> Iterator[Triples]:
        """The known pairs, in the order of the file.

        Raises:
            InputError: what the rejects do not take.
        """
        pending: list[QueryScores] = []
        pairs = 0
        for one in self._source.rows:
            if isinstance(one, BadScores):
                self._reject(one.place, one.bad)
                continue
            pending.append(one)
            pairs += len(one.pids)
            if pairs >= _PAIRS or len(pending) >= _QUERIES:
                yield self._resolved(pending)
                pending, pairs = [], 0
        if pending:
            yield self._resolved(pending)

    def _resolved(self, queries: list[QueryScores]) -> Triples:
        qords = self._collection.qords_of([str(one.qid) for one in queries])
        ords = self._pids.ords(queries)
        counts = np.array([len(one.pids) for one in queries], np.int64)
        row = np.repeat(np.arange(len(queries)), counts)
        known = (qords[row] >= 0) & (ords >= 0) & self._first(queries, qords)[row]
        self._report(queries, qords, row[ords < 0], ords, counts)
        scores = np.concatenate([np.empty(0), *(one.scores for one in queries)])[known]
        self._check_range(queries, row[known], scores)
        return Triples(qords[row[known]], ords[known], scores.astype(np.float32))

    def _first(self, queries: list[QueryScores], qords: Ords) -> npt.NDArray[np.bool_]:
        """Per query, whether this is the only place that has it, where a file must have it once."""
        kept = np.ones(len(queries), np.bool_)
        if not self._source.whole:
            return kept
        for n, (one, qord) in enumerate(zip(queries, qords.tolist(), strict=True)):
            if qord >= 0 and self._seen[qord] not in (-1, one.place):
                found = f"query {shown(one.qid)} is there a second time (first: {self._seen[qord]:,})"
                self._reject(one.place, BadRow(found, "keep one of the two"))
                kept[n] = False
            elif qord >= 0:
                self._seen[qord] = one.place
        return kept

    def _report(
        self, queries: list[QueryScores], qords: Ords, unknown: Ints, ords: Ords, counts: Ints
    ) -> None:
        """One entry per query that is unknown or has unknown passages."""
        missing = np.bincount(unknown, minlength=len(queries))
        starts = np.cumsum(counts) - counts
        name = self._collection.name
        for n in np.flatnonzero((qords < 0) | (missing > 0)).tolist():
            one = queries[n]
            if qords[n] < 0:
                self.unknown_queries += 1
                found = f"query {shown(one.qid)} is not in collection '{name}'"
            else:
                self.unknown_pairs += int(missing[n])
                first = int(np.flatnonzero(ords[starts[n] : starts[n] + counts[n]] < 0)[0])
                found = (
                    f"query {shown(one.qid)}: {missing[n]:,} of {counts[n]:,} passages are not in collection "
                    f"'{name}', the first is {shown(one.pids[first])}"
                )
            self._reject(one.place, BadRow(found, "import the collection that the file was made for"))

    def _check_range(self, queries: list[QueryScores], row: Ints, scores: npt.NDArray[np.float64]) -> None:
        large = np.flatnonzero(np.abs(scores) >= TOO_LARGE)
        if len(large):
            one = queries[int(row[large[0]])]
            raise InputError(
                f"{self._file}: {self._source.unit} {one.place:,}: query {shown(one.qid)}: score "
                f"{scores[large[0]]:g} is beyond what float32 holds",
                hint="scores are logits, mostly between -15 and 15: check how the file was made",
            )

    def _reject(self, place: int, bad: BadRow) -> None:
        self._rejects.add(self._file, place, bad, self._source.unit)


class _PassageIds:
    """Looks pids up as the files have them: integers or text."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def ords(self, queries: Sequence[QueryScores]) -> Ords:
        """The ords of all pids, one after the other; -1 where there is none."""
        arrays = [one.pids for one in queries if not isinstance(one.pids, list)]
        if len(arrays) == len(queries) and self._collection.state.integer_ids:
            return self._of_integers(np.concatenate([np.empty(0, np.int64), *arrays]))
        lists = (one.pids if isinstance(one.pids, list) else one.pids.tolist() for one in queries)
        return self._collection.ords_of([str(pid) for pids in lists for pid in pids])

    def _of_integers(self, pids: Ints) -> Ords:
        numbers, ords = self._numbers
        if not len(numbers):
            return np.full(len(pids), -1, np.int32)
        places = np.minimum(np.searchsorted(numbers, pids), len(numbers) - 1)
        return np.where(numbers[places] == pids, ords[places], np.int32(-1))

    @cached_property
    def _numbers(self) -> tuple[Ints, Ords]:
        """The pids of the live passages as integers, ascending, and their ords."""
        live = np.flatnonzero(self._collection.live).astype(np.int32)
        numbers = self._collection.pids.cast(pa.int64()).to_numpy()[live]
        order = np.argsort(numbers)
        return numbers[order], live[order]
