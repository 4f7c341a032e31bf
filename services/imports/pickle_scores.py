"""A pickle of scores, `scores[qid][pid] -> float`, read without unpickling and in bounded memory.

Protocols 2 to 5, plain, gzip or zstd; ids are int or str, scores float or numpy float32 and float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from services.collections.sources.lines import open_plain
from services.imports.pickled.machine import Machine
from services.imports.pickled.stream import Refused, Stream, refusal
from services.imports.scored import QueryScores, Read, ScoresFile, ScoresFormat


def read_pickle_scores(file: Path, read: Read = lambda share: None) -> Iterator[QueryScores]:
    """The scores, query by query, in the order of the file; very many of one query come in pieces.

    Args:
        file: The pickle.
        read: Told of the share of the file that is read.

    Yields:
        Queries, `place` being a byte of the decompressed file.

    Raises:
        InputError: the file holds anything but such scores; said with byte offset and opcode, and
            nothing of it has been executed.
    """
    with open_plain(file) as (plain, raw):
        size = max(1, raw.size())
        stream = Stream(plain, lambda: read(raw.tell() / size))
        machine = Machine(stream)
        try:
            for scores in machine.queries():
                yield QueryScores(scores.qid, *scores.taken(), scores.offset)
        except Refused as refused:
            raise refusal(file, machine.opcode_at, refused) from None
        finally:
            machine.memo.close()


SCORES_PICKLE = ScoresFormat(
    name="scores-pickle",
    help="A pickle of scores[qid][pid] -> float, plain, gz or zst; it is read as data, never unpickled.",
    example="scores.pkl.gz",
    open=lambda file, read: ScoresFile("byte", whole=True, rows=read_pickle_scores(file, read)),
)
