"""The examples of a run: made once from judged candidates, kept as a part, turned into texts step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from services.collections.collection import Collection, Ords
from services.errors import CheckFailed
from services.negatives.block import CandidateBlock, Index, Mask
from services.negatives.opening import Opened
from services.store import Part, Store
from services.training.apart import kept_apart
from services.training.base import Base
from services.training.draw import draw
from services.training.methods import Examples, Method, Rows, Texts
from services.training.order import Order
from services.training.recipe import Recipe

_HELD_OUT = 1  # seeds: each purpose draws from its own stream
_SUBSET = 2
_NEGATIVES = 3
_NONE: Rows = {name: np.empty(0, np.int32) for name in ("qord", "ord")}


@dataclass(frozen=True)
class Made:
    """Examples, the lists that are reranked at the end, and counts of what they were made from."""

    examples: Examples
    held_out: Rows
    counts: dict[str, int]


def make(
    opened: Opened,
    method: Method,
    recipe: Recipe,
    progress: Callable[[int], None],
    blocks: int | None = None,
) -> Made:
    """Make all examples of a run.

    Args:
        opened: The candidates, and which of them are negatives.
        method: How examples look.
        recipe: Says how many.
        progress: Called with 0 now and then; raises to stop.
        blocks: Only the first so many blocks of queries, for a look at what there will be.

    Raises:
        CheckFailed: there is not a single example, or no negative.
    """
    candidates = opened.candidates
    held = _some(candidates.qords, recipe.evaluation.queries, (recipe.seed, _HELD_OUT), most=0.1)
    train = np.setdiff1d(candidates.qords, held)
    if recipe.data.queries:
        train = _some(train, recipe.data.queries, (recipe.seed, _SUBSET))
    found: list[Rows] = []
    held_out: list[Rows] = []
    for n in range(min(candidates.blocks, blocks or candidates.blocks)):
        progress(0)
        block = candidates.block(n)
        kept = opened.selection.keep(block)
        drawn = draw(block, kept, opened.selection, recipe.data.negatives, (recipe.seed, _NEGATIVES, n))
        rows = method.examples(block, drawn, recipe)
        inside = np.isin(rows["qord"], train)
        found.append({name: column[inside] for name, column in rows.items()})
        held_out.append(_lists(block, kept, held, recipe.evaluation.depth))
    examples, lists = _joined(found), _joined(held_out)
    counts = {
        "queries": len(np.unique(examples["qord"])),
        "queries_left_out": len(train) - len(np.unique(examples["qord"])),
        "examples": len(examples["qord"]),
        "held_out_queries": len(np.unique(lists["qord"])),
    }
    _check(counts, examples, opened, recipe)
    apart = _NONE if method.adds_up else kept_apart(candidates, examples)
    return Made(Examples(examples, apart), lists, counts)


def told(counts: dict[str, int]) -> str:
    """What there is to learn from, in words: a filter may leave next to nothing of a split."""
    return (
        f"{counts['examples']:,} examples of {counts['queries']:,} queries; "
        f"{counts['queries_left_out']:,} have too few negatives left"
    )


def _check(counts: dict[str, int], examples: Rows, opened: Opened, recipe: Recipe) -> None:
    name, split = opened.candidates.collection.name, opened.candidates.split
    mine = f"`msmctl mine --collection {name} --split {split} --system … --depth …` mines more"
    if counts["examples"] < 2:
        raise CheckFailed(
            f"split '{split}' of collection '{name}' has {counts['examples']} examples for recipe "
            f"'{recipe.name}' with {recipe.data.negatives} negatives per positive",
            hint=f"fewer filters, or --set negatives=…; {mine}",
        )


def _some(qords: Ords, count: int, seed: Sequence[int], most: float = 1.0) -> Ords:
    """At most `count`, and at most the share `most`, of some queries at random, ascending."""
    count = min(count, int(most * len(qords)))
    return np.sort(np.random.default_rng(seed).choice(qords, count, replace=False))


def _lists(block: CandidateBlock, kept: Mask, held: Ords, depth: int) -> Rows:
    """Per held-out query its positives (label 1) and its best ranked negatives (label 0).

    A query of which no negative is kept would be ranked without a fault by any model: it is left out.
    """
    pairs = block.merged(kept)
    query = block.pairs.query[pairs]
    pairs = pairs[np.arange(len(pairs)) - np.searchsorted(query, query) < depth]
    positives = block.positives
    query = np.concatenate([positives.query, block.pairs.query[pairs]])
    rows = {
        "qord": block.qords[query],
        "ord": np.concatenate([positives.ords, block.pairs.ords[pairs]]),
        "label": np.repeat([1, 0], [len(positives.ords), len(pairs)]),
    }
    inside = np.isin(rows["qord"], np.intersect1d(held, block.qords[block.pairs.query[pairs]]))
    return {name: column[inside].astype(np.int32) for name, column in rows.items()}


def _joined(blocks: Sequence[Rows]) -> Rows:
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def write_rows(store: Store, key: str, rows: Rows) -> Part:
    """Examples as a part."""
    table = pa.table(dict(rows))

    def write(stream: Any) -> None:
        pq.write_table(table, stream, compression="zstd")

    return store.write_part(key, 0, len(table), len(table), "parquet", write)


def read_rows(store: Store, key: str, part: Part) -> Rows:
    """Examples from their part."""
    table = pq.read_table(store.local_path(f"{key}/{part.name}"))
    return {name: table[name].to_numpy() for name in table.column_names}


def texts_of(collection: Collection, base: Base) -> Texts:
    """The texts of a collection, with the base's prompts where it is an encoder of single texts."""

    def passages(ords: Sequence[int]) -> list[str]:
        found = collection.texts_of(np.asarray(ords, np.int32))
        return [base.passage_prompt + text for text in found]

    def queries(qords: Sequence[int]) -> list[str]:
        wanted, back = np.unique(np.asarray(qords, np.int64), return_inverse=True)
        table = collection.read_queries(0, collection.state.query_count, ["text"])["text"]
        found = table.take(pa.array(wanted)).to_pylist()
        return [base.query_prompt + found[n] for n in back]

    return Texts(queries, passages)


def steps_of(
    examples: Examples, method: Method, recipe: Recipe, base: Base, texts: Texts, lo: int, hi: int
) -> list[Index]:
    """Positions of the examples of each step `lo <= step < hi`."""
    order = Order(len(examples.rows["qord"]), recipe.batch, recipe.seed)
    lengths = _Lengths(base, texts)
    found: list[Index] = []
    for pool in order.pools(lo, hi):
        batches = method.batches(examples, pool.rows, recipe.batch, lengths, pool.seed)
        found += batches[max(lo - pool.lo, 0) : hi - pool.lo]
    return found


def write_columns(columns: dict[str, Any], path: Path) -> None:
    """What the trainer reads."""
    pq.write_table(pa.table(columns), path, compression="lz4")


class _Lengths:
    """Tokens of pairs, as the base's tokenizer cuts their texts."""

    def __init__(self, base: Base, texts: Texts) -> None:
        self._base = base
        self._texts = texts

    def __call__(self, rows: Rows) -> npt.NDArray[np.int64]:
        from services.encoding.tokens import Tokenizer

        tokenizer = Tokenizer(Path(self._base.transformer), 1 << 20, lowercase=self._base.lowercase)

        def counts(ids: npt.NDArray[np.int32], read: Callable[[Sequence[int]], list[str]]) -> Index:
            wanted, back = np.unique(ids, return_inverse=True)
            tokens = tokenizer.ids(read(wanted.tolist()))
            return np.array([len(one) for one in tokens], np.int64)[back]

        found: npt.NDArray[np.int64] = counts(rows["qord"], self._texts.query) + counts(
            rows["ord"], self._texts.passage
        )
        return found
