"""Token ids of a collection's texts: made once per tokenizer, kept in the store, mapped when read.

`collections/<c>/tokens/<fp>/{passages,queries}/` holds, per range of 4,096 rows, the ids (uint16 or
uint32) and an int64 array [2, rows + 1]: where each text's ids begin, and how many it had before it was
cut at the model's length. Their names hold the hash of all that decides their
content, and equal content gives equal bytes, so that no manifest is needed and two workers that make the
same range do no harm. The starts are written last: a range is there when they are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from services.collections.collection import Collection
from services.collections.collection import folder as collection_folder
from services.encoding.shards import TableName, ranges, read_texts, row_count, texts_fingerprint
from services.errors import MsmError
from services.scoring.ragged import Index, Ragged
from services.scoring.tokenizer import PairTokenizer
from services.store import fingerprint
from services.store.fingerprint import short

_WORTH = 32  # a range is tokenised whole where one row in so many is wanted


class TokenCache:
    """The token ids of one collection state by one tokenizer.

    Args:
        collection: The state.
        tokenizer: Makes what is missing.
        checkpoint: Called after each range that was made.
        whole: Whether a range is made and kept where enough of it is wanted; without, nothing is written.
    """

    def __init__(
        self,
        collection: Collection,
        tokenizer: PairTokenizer,
        checkpoint: Callable[[], None] = lambda: None,
        *,
        whole: bool = True,
    ) -> None:
        self._collection = collection
        self._tokenizer = tokenizer
        self._checkpoint = checkpoint
        self._whole = whole
        self.key = f"{collection_folder(collection.name)}/tokens/{short(tokenizer.fingerprint)}"

    def of(self, table: TableName, rows: Index) -> Ragged:
        """The ids of some rows (ascending, each once) of a table."""
        found, rest = [], []
        for lo, hi in ranges(row_count(self._collection, table)):
            inside = rows[slice(*np.searchsorted(rows, [lo, hi]))]
            if not len(inside):
                continue
            mapped = self._mapped(table, lo, hi, make=self._whole and _worth(len(inside), hi - lo))
            if mapped is None:
                rest.append(inside)
            else:
                found.append((inside, mapped.take(inside - lo)))
        if rest:
            few = np.concatenate(rest)
            found.append((few, self.made(table, few)))
        order = np.argsort(np.concatenate([np.empty(0, np.int64), *(inside for inside, _ in found)]))
        return Ragged.joined(ids for _, ids in found).take(order)

    def made(self, table: TableName, rows: Index) -> Ragged:
        """The ids of some rows (ascending, each once), tokenised now, whatever is kept."""
        return self._made(table, self._texts(table, rows))

    def missing(self, table: TableName, rows: Index) -> int:
        """How many texts `of` would tokenise for some rows."""
        total = 0
        for lo, hi in ranges(row_count(self._collection, table)):
            wanted = int(((rows >= lo) & (rows < hi)).sum())
            if wanted and self._load(self._name(table, lo, hi), hi - lo) is None:
                total += hi - lo if _worth(wanted, hi - lo) else wanted
        return total

    def _mapped(self, table: TableName, lo: int, hi: int, *, make: bool) -> Ragged | None:
        """A range from the store; made first, or None, where it is not there."""
        name = self._name(table, lo, hi)
        known = self._load(name, hi - lo)
        if known is None and make:
            made = self._made(table, read_texts(self._collection, table, lo, hi))
            self._save(name, made)
            self._checkpoint()
            known = self._load(name, hi - lo)
            if known is None:
                where = self._collection.store.location(f"{name}.starts.npy")
                raise MsmError(f"{where}: cannot be read again", hint="is the disk sound, and not full?")
        return known

    def _made(self, table: TableName, texts: list[str]) -> Ragged:
        return self._tokenizer.passages(texts) if table == "passages" else self._tokenizer.queries(texts)

    def _texts(self, table: TableName, rows: Index) -> list[str]:
        if table == "passages":
            return self._collection.texts_of(rows.astype(np.int32))
        lo = int(rows[0])
        column = self._collection.read_queries(lo, int(rows[-1]) + 1, ["text"])["text"]
        texts: list[str] = column.take(pa.array(rows - lo)).to_pylist()
        return texts

    def _name(self, table: TableName, lo: int, hi: int) -> str:
        state = self._collection.state
        parts = state.passages if table == "passages" else state.queries
        digest = fingerprint([self._tokenizer.fingerprint, texts_fingerprint(parts, lo, hi)])
        return f"{self.key}/{table}/{lo:010d}-{short(digest)}"

    def _save(self, name: str, made: Ragged) -> None:
        store = self._collection.store
        small = not len(made.ids) or int(made.ids.max()) < 1 << 16
        for suffix, array in (
            ("ids", made.ids.astype(np.uint16 if small else np.uint32)),
            ("starts", np.stack([made.starts, np.append(made.lengths, 0)])),
        ):
            key = f"{name}.{suffix}.npy"
            with store.scratch(key.rpartition("/")[0]) as scratch:
                with scratch.open("wb") as stream:
                    np.save(stream, array)
                store.put_file(scratch, key)

    def _load(self, name: str, rows: int) -> Ragged | None:
        """A range that is there and whole."""
        store = self._collection.store
        if not store.exists(f"{name}.starts.npy"):
            return None
        try:
            starts = np.load(store.local_path(f"{name}.starts.npy"), allow_pickle=False)
            ids = np.load(store.local_path(f"{name}.ids.npy"), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError):  # cut off: it is made again
            return None
        if starts.shape != (2, rows + 1) or ids.shape != (starts[0, -1],):
            return None
        return Ragged(ids, starts[0], starts[1, :-1])


def _worth(wanted: int, rows: int) -> bool:
    """Whether a whole range is tokenised and kept for so many of its rows."""
    return wanted * _WORTH >= rows
