"""Stored scores for reading: of some pairs, or of all in order, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from services.collections.collection import Collection
from services.errors import MsmError, NotFound, UsageError
from services.mining.ranking import Ords, pair_keys
from services.mining.ranking import Scores as Floats
from services.models.entry import spelling
from services.scoring.identity import present_fingerprint
from services.scoring.score_folder import ScoredBy, ScoreFolder, ScorePart, layers, scores_folder
from services.scoring.score_parts import Triples, write_stream
from services.store import fingerprint
from services.store.fingerprint import short

_CACHED = 64  # row groups: 50 MB
_LAYERS = 8
Keys = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Group:
    """A row group of a part: the queries that it covers, both ends inclusive."""

    part: ScorePart
    number: int
    first: int
    last: int


class Scores:
    """All scores of one cross-encoder on one collection, as they are when this is opened.

    A pair that was scored twice has the score made last. A pair that could not be computed has none.
    """

    def __init__(self, folder: ScoreFolder) -> None:
        self.folder = folder
        self.parts = folder.parts()
        self._cache: OrderedDict[tuple[str, int], tuple[Keys, Floats]] = OrderedDict()
        self._known_groups: dict[str, list[_Group]] = {}

    @property
    def ce(self) -> str:
        """Name of the cross-encoder."""
        return self.folder.by.ce

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides a score but the texts."""
        return self.folder.by.fingerprint

    @property
    def content(self) -> str:
        """Hash of the scores that there are."""
        return fingerprint([one.part.sha256 for one in self.parts])

    @property
    def rows(self) -> int:
        """Rows of all parts: pairs, those scored twice counted twice."""
        return sum(one.part.rows for one in self.parts)

    @cached_property
    def pairs(self) -> int:
        """Pairs with a score. Reads everything, once."""
        return sum(len(block.qords) for block in self.blocks())

    def of(self, qords: Ords, ords: Ords) -> Floats:
        """Per pair its score, NaN where there is none; fastest for pairs sorted by (qord, ord)."""
        return self._look_up(qords, ords)[0]

    def known(self, qords: Ords, ords: Ords) -> Mask:
        """Per pair, whether it has been dealt with: it has a score, or cannot have one."""
        return self._look_up(qords, ords)[1]

    def blocks(self, lo: int = 0, hi: int | None = None) -> Iterator[Triples]:
        """All scored pairs of the queries `lo <= qord < hi`, sorted; a block ends with its last query."""
        for block in self._merged(lo, hi):
            scored = ~np.isnan(block.scores)
            if scored.any():
                yield Triples(block.qords[scored], block.ords[scored], block.scores[scored])

    def compact(self) -> bool:
        """Merge the parts into few where a query lies in more than eight; whether that was done.

        The parts that were merged stay on disk until the next time, for those who are reading them. Open
        the scores anew to read the new ones.
        """
        if layers([one.part for one in self.parts]) <= _LAYERS:
            return False
        names = sorted(one.part.name for one in self.parts)
        made = write_stream(self.folder, self._merged(0, None), merged=fingerprint(names))
        self.folder.add(made, replacing=self.parts)
        return True

    # -- reading -----------------------------------------------------------------------------------

    def _look_up(self, qords: Ords, ords: Ords) -> tuple[Floats, Mask]:
        scores = np.full(len(qords), np.nan, np.float32)
        known = np.zeros(len(qords), np.bool_)
        if not len(qords):
            return scores, known
        keys = pair_keys(qords, ords)
        order = np.argsort(keys, kind="stable")
        wanted, of = keys[order], np.asarray(qords)[order]
        for group in self._between(int(of[0]), int(of[-1])):
            lo, hi = np.searchsorted(of, [group.first, group.last + 1])
            if lo == hi:
                continue
            there, values = self._read(group)
            places = np.minimum(np.searchsorted(there, wanted[lo:hi]), len(there) - 1)
            hits = np.flatnonzero(there[places] == wanted[lo:hi])
            scores[order[lo + hits]] = values[places[hits]]
            known[order[lo + hits]] = True
        return scores, known

    def _merged(self, lo: int, hi: int | None) -> Iterator[Triples]:
        """All pairs, those without a score included, window by window between starts of row groups."""
        end = max((one.part.hi for one in self.parts), default=0)
        end = end if hi is None else min(hi, end)
        starts = sorted(
            {lo, *(group.first for group in self._between(lo, end - 1) if lo < group.first < end)}
        )
        for first, last in zip(starts, [*starts[1:], end], strict=True):
            block = self._window(first, last)
            if len(block.qords):
                yield block

    def _window(self, lo: int, hi: int) -> Triples:
        keys, values = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for group in self._between(lo, hi - 1):
            there, scores = self._read(group)
            a, b = np.searchsorted(there, pair_keys(np.array([lo, hi]), np.array([0, 0])))
            keys.append(there[a:b])
            values.append(scores[a:b])
        # Of equal keys the last is taken: the groups come in the order in which they were made.
        together, scores = np.concatenate(keys)[::-1], np.concatenate(values)[::-1]
        distinct, first = np.unique(together, return_index=True)
        return Triples(
            (distinct >> 32).astype(np.int32), (distinct & 0xFFFFFFFF).astype(np.int32), scores[first]
        )

    def _between(self, first: int, last: int) -> list[_Group]:
        """The row groups that may hold queries `first <= qord <= last`, in the order they were made."""
        lo, hi = self._ranges
        parts = [self.parts[n] for n in np.flatnonzero((lo <= last) & (hi > first))]
        groups = (group for part in parts for group in self._groups(part))
        return [group for group in groups if group.first <= last and group.last >= first]

    @cached_property
    def _ranges(self) -> Keys:
        """Where the parts begin and end: int64 [2, parts]."""
        return np.array([[one.part.lo, one.part.hi] for one in self.parts], np.int64).reshape(-1, 2).T

    def _groups(self, one: ScorePart) -> list[_Group]:
        """The row groups of a part; only the parts that are asked for are ever opened."""
        if one.part.name not in self._known_groups:
            found = []
            metadata = self._open(one).metadata
            for number in range(metadata.num_row_groups):
                bounds = metadata.row_group(number).column(0).statistics
                if bounds is None:
                    raise self._damaged(one, "it says nothing of the queries in it")
                found.append(_Group(one, number, bounds.min, bounds.max))
            self._known_groups[one.part.name] = found
        return self._known_groups[one.part.name]

    def _read(self, group: _Group) -> tuple[Keys, Floats]:
        key = (group.part.part.name, group.number)
        if key not in self._cache:
            try:
                table = self._open(group.part).read_row_group(group.number)
            except (OSError, pa.ArrowInvalid) as error:
                raise self._damaged(group.part, str(error)) from error
            keys = pair_keys(table["qord"].to_numpy(), table["ord"].to_numpy())
            self._cache[key] = keys, table["score"].to_numpy()
            while len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]

    def _open(self, one: ScorePart) -> pq.ParquetFile:
        try:
            path = self.folder.store.local_path(f"{self.folder.key}/{one.part.name}")
            if path.stat().st_size != one.part.bytes:
                raise self._damaged(one, f"{path.stat().st_size} bytes instead of {one.part.bytes}")
            return pq.ParquetFile(path, memory_map=True)
        except (OSError, pa.ArrowInvalid) as error:
            raise self._damaged(one, str(error)) from error

    def _damaged(self, one: ScorePart, what: str) -> MsmError:
        folder = self.folder
        again = (
            "import them again"
            if folder.by.kind == "imported"
            else f"`msmctl score --collection {folder.collection} --ce {self.ce} --force`"
        )
        return MsmError(
            f"{folder.store.location(f'{folder.key}/{one.part.name}')}: cannot be read: {what}",
            hint=f"remove the folder it lies in, then {again}",
        )


def list_scores(collection: Collection) -> list[Scores]:
    """All scores of a collection, by name of the folder."""
    store = collection.store
    folders = (
        ScoreFolder.found(store, collection.name, name)
        for name in store.children(scores_folder(collection.name))
    )
    return [Scores(folder) for folder in folders if folder is not None]


def open_scores(collection: Collection, name: str | None = None) -> Scores:
    """The scores by one cross-encoder.

    Args:
        collection: Any state of it: positions are never reused.
        name: Its name in any spelling: the scores of its present model. With `name@fingerprint` those of
            an earlier one. None: the only cross-encoder there is.

    Raises:
        NotFound: there are none, or only by an earlier model of that name.
        UsageError: several could be meant.
    """
    there = list_scores(collection)
    known = ", ".join(_label(one, there) for one in there)
    if not there:
        raise NotFound(
            f"collection '{collection.name}' has no scores",
            hint=f"msmctl score --collection {collection.name} --ce {name or 'CE'}",
        )
    plain, _, digest = (name or "").partition("@")
    found = [
        one
        for one in there
        if (name is None or spelling(one.ce) == spelling(plain)) and one.fingerprint.startswith(digest)
    ]
    if not found:
        raise NotFound(
            f"collection '{collection.name}' has no scores by '{name}'; it has: {known}",
            hint=f"msmctl score --collection {collection.name} --ce {name}",
        )
    if len({spelling(one.ce) for one in found}) > 1:
        raise UsageError(
            f"collection '{collection.name}' has scores by several cross-encoders: {known}",
            hint="say which: --ce NAME",
        )
    return found[0] if digest and len(found) == 1 else _present(collection, found, known)


def _present(collection: Collection, found: list[Scores], known: str) -> Scores:
    """Of several contents under one name, that of the model which the cross-encoder uses now."""
    ce = found[0].ce
    now = present_fingerprint(collection.store, ce)
    if now is None and len(found) == 1:
        return found[0]
    if now is None:
        raise UsageError(
            f"collection '{collection.name}' has scores of several contents: {known}",
            hint=f"say which: --ce {ce}@FINGERPRINT",
        )
    for one in found:
        if one.fingerprint == now:
            return one
    raise NotFound(
        f"collection '{collection.name}' was scored by an earlier model of '{ce}' only: "
        + ", ".join(f"{one.ce}@{short(one.fingerprint)}" for one in found),
        hint=f"`msmctl score --collection {collection.name} --ce {ce}` scores with the present one; "
        f"--ce {ce}@{short(found[-1].fingerprint)} takes the earlier scores",
    )


def import_identity(name: str, content: str) -> ScoredBy:
    """Whose scores imported ones are: of nobody's model, and what was imported is their fingerprint."""
    return ScoredBy(ce=name, kind="imported", fingerprint=content)


def _label(one: Scores, among: list[Scores]) -> str:
    several = sum(spelling(other.ce) == spelling(one.ce) for other in among) > 1
    return f"{one.ce}@{short(one.fingerprint)}" if several else one.ce
