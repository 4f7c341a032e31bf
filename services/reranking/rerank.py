"""Rerank a run file, in the caller's process: in bounded memory, resumed after a kill, whole or not there."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np

from services.errors import InputError
from services.exports.format import Counts
from services.exports.manifest import manifest_path
from services.exports.writer import BlockFile, replace, said_clearly
from services.mining.ranking import Scores
from services.reranking.given import GivenLists
from services.reranking.manifest import RerankInputs, RerankManifest
from services.reranking.order import lines, reranked
from services.reranking.pairs import Known, Pairs, Texts, batches
from services.reranking.request import RerankRequest, partial_of
from services.reranking.rerankers import Found, Progress
from services.reranking.survey import Survey
from services.store.fingerprint import file_sha256

_SAID = 3


@dataclass(frozen=True)
class Written:
    """A run that was written, and what was told on the way.

    Attributes:
        dead: Pairs of this call that could not be scored; the first few with why.
        examples: Of these.
    """

    manifest: RerankManifest
    dead: int
    examples: list[str]


def write(
    request: RerankRequest,
    inputs: RerankInputs,
    lists: GivenLists,
    seen: Survey,
    done: Progress = lambda pairs: None,
) -> Written:
    """Write the run and its manifest; a killed one goes on where it stopped.

    Args:
        request: What to rerank.
        inputs: Its inputs.
        lists: Read.
        seen: From `survey`.
        done: Called with the number of pairs done so far.

    Raises:
        InputError: the file cannot be written, or a pair cannot be scored and is not to be skipped.
        Conflict: another process writes it.
    """
    out = request.out
    partial, progress = partial_of(out), out.with_name(f".{out.name}.progress")
    unscored: list[str] = []
    with said_clearly(out), BlockFile(out.name, partial, progress, inputs.hash).open() as file:
        cut = batches(lists, request.depth)
        finished = sum(len(pairs) for pairs in islice(cut, file.blocks))
        for pairs in cut:
            done(finished)
            scores = _scores(request, pairs, unscored, _after(finished, done))
            file.add(_encoded(request, pairs, scores), _counts(pairs))
            finished += len(pairs)
        done(finished)
        manifest = RerankManifest(
            file=out.name,
            bytes=partial.stat().st_size,
            sha256=file_sha256(partial),
            queries=seen.queries,
            passages=seen.passages,
            reranked=seen.reranked,
            inputs=inputs,
        )
        # Killed between the two, the checksum shows that they do not belong together.
        replace(manifest_path(out), manifest.model_dump_json(indent=1).encode() + b"\n")
        partial.replace(out)
        progress.unlink(missing_ok=True)
    return Written(manifest, len(unscored), unscored[:_SAID])


def _after(finished: int, done: Progress) -> Progress:
    """Progress inside a batch as progress of the whole."""
    return lambda pairs: done(finished + pairs)


def _scores(request: RerankRequest, pairs: Pairs, unscored: list[str], progress: Progress) -> Scores:
    """A score per pair, NaN for those that are unknown or cannot be scored."""
    scores = np.full(len(pairs), np.nan, np.float32)
    if request.collection is None:
        places = np.arange(len(pairs))
        found: Found = request.reranker.of_texts(Texts.of_file(pairs), progress)
    else:
        known = Known(request.collection, pairs)
        places = np.flatnonzero(known.mask)
        found = request.reranker.of_collection(
            request.collection, known.qords[places], known.ords[places], progress
        )
    scores[places] = found.scores
    for n, why in sorted(found.dead.items()):
        said = f"{pairs.name(int(places[n]))}: {why}"
        if request.on_error == "fail":
            raise InputError(
                f"{request.file.path}: {said}",
                hint="--on-error skip keeps what cannot be scored below all that can",
            )
        unscored.append(said)
    return scores


def _encoded(request: RerankRequest, pairs: Pairs, scores: Scores) -> bytes:
    ends = np.cumsum(pairs.heads)
    return "".join(
        lines(one.qid, reranked(one, scores[end - head : end]), request.reranker.name)
        for one, head, end in zip(pairs.lists, pairs.heads, ends.tolist(), strict=True)
    ).encode()


def _counts(pairs: Pairs) -> Counts:
    return Counts(rows=sum(len(one.pids) for one in pairs.lists), queries=len(pairs.lists))
