"""Import a file of scores: they become those of a cross-encoder that is known by name only."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from services.collections.collection import Collection, manifest_key
from services.cross_encoders.registry import CrossEncoders
from services.errors import Conflict, InputError, NotFound
from services.imports.rejects import OnError, rejecting
from services.imports.resolve import Resolver
from services.imports.scored import ScoresFormat
from services.models.entry import spelling
from services.scoring.score_folder import ScoredBy, ScoreFolder
from services.scoring.score_parts import ScoreSorter, Triples, write_stream
from services.scoring.scores import import_identity, list_scores
from services.shown import shown

Report = Callable[[int, float], None]
"""Told of how many more pairs are read, and the share of the file."""


@dataclass(frozen=True)
class ScoresRequest:
    """What to import.

    Attributes:
        format: The file's format.
        file: The file.
        name: Name under which `--ce` finds the scores.
        on_error: What becomes of ids that the collection does not have.
        replace: Take the place of scores that were imported under this name before.
        dry_run: Read and check everything, keep nothing.
    """

    format: ScoresFormat
    file: Path
    name: str
    on_error: OnError = "fail"
    replace: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class ScoresOutcome:
    """What was imported, as `--json` prints it.

    Attributes:
        pairs: Different pairs with a score.
        queries: Different queries among them.
        fresh: The same scores are there already under this name.
        rejected: Entries in `rejects`.
    """

    format: str
    file: str
    collection: str
    name: str
    pairs: int
    queries: int
    unknown_queries: int
    unknown_pairs: int
    rejected: int
    rejects: str | None
    fresh: bool
    dry_run: bool
    fingerprint: str

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def import_scores(
    collection: Collection, request: ScoresRequest, report: Report = lambda pairs, share: None
) -> ScoresOutcome:
    """Read, sort and keep the scores; they count when all of them are there.

    Raises:
        InputError: the file cannot be read, is broken, or (with `on_error="fail"`) has unknown ids.
        Conflict: the name is that of a model, or of other scores.
        UsageError: it is no name.
    """
    _require_name(collection, request)
    share = 0.0

    def read(done: float) -> None:
        nonlocal share
        share = done

    with (
        rejecting(request.on_error) as rejected,
        ScoreSorter(collection.state.query_count, _pair_name(collection, request.file)) as sorter,
    ):
        pairs = Resolver(request.file, request.format.open(request.file, read), collection, rejected.rows)
        for block in pairs:
            if len(block.qords):
                sorter.add(block)
            report(len(block.qords), share)
        by = import_identity(request.name, sorter.content())
        fresh, others = _named_alike(collection, by, replace=request.replace)
        counted = _Counted(sorter.sorted())
        if fresh or request.dry_run:
            deque(counted, maxlen=0)
        else:
            _write(collection, by, counted)
        if not counted.pairs:
            raise InputError(
                f"{request.file}: holds no score of collection '{collection.name}'",
                hint=f"is it of another collection? `msmctl collection show {collection.name}`",
            )
        for other in () if request.dry_run else others:
            collection.store.remove(other.key)
        return ScoresOutcome(
            request.format.name, str(request.file), collection.name, request.name,
            counted.pairs, counted.queries, pairs.unknown_queries, pairs.unknown_pairs,
            rejected.rows.count,
            rejected.keep(collection, f"scores-{by.slug}", dry_run=request.dry_run),
            fresh, request.dry_run, by.fingerprint,
        )  # fmt: skip


class _Counted:
    """Counts blocks that pass by; a query is in one block only."""

    def __init__(self, blocks: Iterable[Triples]) -> None:
        self._blocks = blocks
        self.pairs = 0
        self.queries = 0

    def __iter__(self) -> Iterator[Triples]:
        for block in self._blocks:
            self.pairs += len(block.qords)
            self.queries += len(set(block.qords.tolist()))
            yield block


def _write(collection: Collection, by: ScoredBy, blocks: Iterable[Triples]) -> None:
    """Make the scores known, where there are any."""
    folder = ScoreFolder(collection.store, collection.name, by)
    parts = write_stream(folder, blocks)
    if not parts:
        return
    if not _still_there(collection):
        collection.store.remove(folder.key)
        raise Conflict(
            f"collection '{collection.name}' was removed or replaced meanwhile", hint="import again"
        )
    folder.add(parts)


def _require_name(collection: Collection, request: ScoresRequest) -> None:
    CrossEncoders.require_name(request.name)
    try:
        known = CrossEncoders.load(collection.store).get(request.name)
    except NotFound:
        known = None
    if known is not None:
        raise Conflict(
            f"'{request.name}' is the cross-encoder {known.name}, whose scores are computed here",
            hint=f"choose another name, such as {request.name}-imported",
        )


def _named_alike(collection: Collection, by: ScoredBy, *, replace: bool) -> tuple[bool, list[ScoreFolder]]:
    """Whether these scores are there already, and others of the name, whose place they take.

    There are both where an import was killed before it had removed the others.

    Raises:
        Conflict: the others are not to be replaced.
    """
    alike = [one.folder for one in list_scores(collection) if spelling(one.ce) == spelling(by.ce)]
    others = [folder for folder in alike if folder.by != by]
    computed = any(folder.by.kind == "model" for folder in others)
    if others and (computed or not replace):
        raise Conflict(
            f"collection '{collection.name}' has other scores by '{others[0].by.ce}'",
            hint="choose another --name" + ("" if computed else "; --replace takes their place"),
        )
    return len(alike) > len(others), others


def _still_there(collection: Collection) -> bool:
    present = collection.store.read_json(manifest_key(collection.name))
    return bool(present) and present.get("created") == collection.state.created


def _pair_name(collection: Collection, file: Path) -> Callable[[int, int], str]:
    def name(qord: int, ord_: int) -> str:
        pid = collection.pids[ord_].as_py()
        return f"{file}: query {shown(collection.qids[qord])}, passage {shown(pid)}"

    return name
