"""Scores out of a pickle, without unpickling: what pickle writes is read, all else is refused unexecuted."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.errors import InputError
from services.imports.pickle_scores import read_pickle_scores

Nested = dict[Any, dict[Any, float]]


def read(path: Path) -> Nested:
    found: Nested = {}
    for one in read_pickle_scores(path):
        pids = one.pids if isinstance(one.pids, list) else one.pids.tolist()
        found.setdefault(one.qid, {}).update(zip(pids, one.scores.tolist(), strict=True))
    return found


def written(folder: Path, data: bytes, name: str = "scores.pkl") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def refused(folder: Path, data: bytes) -> str:
    with pytest.raises(InputError) as error:
        read(written(folder, data))
    assert error.value.hint
    return error.value.message


integers = st.integers(-(2**63), 2**63 - 1)
texts = st.text(max_size=40).filter(lambda text: len(text.encode("utf-8", "ignore")) < 500)
finite = st.floats(allow_nan=False, allow_infinity=False)
nested = st.one_of(
    *(
        st.dictionaries(ids, st.dictionaries(ids, finite, max_size=30), max_size=12)
        for ids in (integers, st.integers(0, 70_000), texts)
    )
)


@settings(max_examples=300)
@given(scores=nested, protocol=st.integers(2, 5))
def test_what_pickle_writes_is_read_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, scores: Nested, protocol: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.pkl"
    path.write_bytes(pickle.dumps(scores, protocol))
    assert read(path) == scores


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", [float, np.float32, np.float64])
@pytest.mark.parametrize("module", [pickle.dumps, lambda *a: _python_dumps(*a)], ids=["c", "python"])
def test_many_scores_are_read_whatever_wrote_them(
    tmp_path: Path, protocol: int, kind: Any, module: Any
) -> None:
    rng = np.random.default_rng(7)
    sizes = [1, 2, 50, 999, 1000, 1001, 2500]
    scores = {
        int(q): {
            int(p): kind(s) for p, s in zip(rng.integers(0, 1 << 24, n), rng.normal(size=n), strict=True)
        }
        for q, n in zip(rng.integers(0, 1 << 20, 63), sizes * 9, strict=True)
    }
    path = written(tmp_path, module(scores, protocol))
    assert read(path) == {q: {p: float(s) for p, s in row.items()} for q, row in scores.items()}


def test_ids_that_are_the_same_object_are_fetched_from_the_memo(tmp_path: Path) -> None:
    pids = [f"p{n}" for n in range(300)]
    scores = {f"q{n}": dict.fromkeys(pids, n + 0.5) for n in range(40)}
    assert read(written(tmp_path, pickle.dumps(scores))) == scores


def test_more_ids_than_are_kept_in_memory_are_still_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.imports.pickled.memo._TEXTS", 16)
    test_ids_that_are_the_same_object_are_fetched_from_the_memo(tmp_path)


def test_bytes_that_look_like_pairs_within_numbers_mislead_nobody(tmp_path: Path) -> None:
    double = struct.unpack(">d", b"KGKGKGKG")[0]
    integer = int.from_bytes(b"GKGK", "little")
    scores = {q: {integer + n: double + n for n in range(80)} | dict.fromkeys(range(300), double)
              for q in (75, 71, integer)}  # fmt: skip
    assert read(written(tmp_path, pickle.dumps(scores))) == scores


def test_a_scalar_as_numpy_1_names_it_is_read(tmp_path: Path) -> None:
    new = pickle.dumps({1: {2: np.float32(0.5), 3: np.float32(0.25)}}, 2)
    old = new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert read(written(tmp_path, old)) == {1: {2: 0.5, 3: 0.25}}


def test_big_endian_scalars_are_read(tmp_path: Path) -> None:
    little = pickle.dumps({1: {2: np.float64(0.5)}}, 4)
    big = little.replace(b"\x8c\x01<", b"\x8c\x01>").replace(struct.pack("<d", 0.5), struct.pack(">d", 0.5))
    assert big != little
    assert read(written(tmp_path, big)) == {1: {2: 0.5}}


@pytest.mark.parametrize("name", ["scores.pkl.gz", "scores.pkl.zst", "anything"])
def test_compressed_files_are_read(tmp_path: Path, name: str) -> None:
    import zstandard

    data = pickle.dumps({1: {2: 0.5}})
    packed = zstandard.compress(data) if name.endswith("zst") else gzip.compress(data)
    assert read(written(tmp_path, packed, name)) == {1: {2: 0.5}}


def test_queries_without_scores_are_there(tmp_path: Path) -> None:
    assert read(written(tmp_path, pickle.dumps({1: {}, 2: {3: 1.0}, 4: {}}))) == {1: {}, 2: {3: 1.0}, 4: {}}
    assert read(written(tmp_path, pickle.dumps({}))) == {}


# -- hostile ---------------------------------------------------------------------------------------


class Payload:
    """Pickled, it is a call of `os.mkdir`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("place", ["score", "row", "all", "pid"])
def test_a_payload_is_refused_and_not_run(tmp_path: Path, protocol: int, place: str) -> None:
    proof = tmp_path / "it-ran"
    payload = Payload(proof)
    whole: Mapping[str, Any] = {
        "score": {1: {2: payload}}, "row": {1: payload}, "all": payload, "pid": {1: {payload: 1.0}},
    }  # fmt: skip
    message = refused(tmp_path, pickle.dumps(whole[place], protocol))
    assert "byte" in message
    assert not proof.exists()
    if protocol >= 2:
        assert "mkdir" in message
        assert "nothing was run" in message


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x80\x04}(K\x01}r\xff\xff\xff\xff", "memo number 4,294,967,295 where 0 is next"),
        (b"\x80\x04}" + b"(" * 100_000, "MARK"),
        (b"\x80\x04" + b"}K\x01" * 100_000, "a dict that is not the scores"),
        (b"\x80\x04" + b"}\x94(K\x01" * 100_000, "a dict that is not the scores"),
        (b"\x80\x04}K\x01" + b"K\x01" * 100_000, "deeper"),
        (b"\x80\x04}\x8d" + struct.pack("<Q", 10 << 30), "a text of 10,737,418,240 bytes"),
        (b"\x80\x04}X" + struct.pack("<I", 0xFFFFFFFF), "a text of 4,294,967,295 bytes"),
        (b"\x80\x04}B" + struct.pack("<I", 0xFFFFFFFF), "BINBYTES (0x42)"),
        (b"\x80\x04}\x8b" + struct.pack("<I", 0x7FFFFFFF), "LONG4"),
        (b"\x80\x04}\x8a\xff" + b"\1" * 255, "an integer of 255 bytes"),
        (b"\x80\x04\x95" + struct.pack("<Q", 10 << 30) + b"}.", "within a frame"),
        (b"\x80\x04}(K\x01}(h\x05", "memo number 5, which is nothing"),
        (b"\x80\x04}\x94(K\x01h\x00", "which is a dict or a number"),
        (b"\x80\x09}.", "protocol 9"),
        (b"(dp0\n.", "MARK"),  # protocol 0
        (b"\x80\x04}.}.", "something follows"),
        (b"\x80\x04K\x01.", "no dict of dicts"),
        (b"\x80\x04}K\x01}s", "ends in the middle"),
        (b"\x80\x04c" + b"a" * 10_000, "a line of more than"),
        (b"\x80\x04c__builtin__\neval\n", "__builtin__.eval"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93", "os.system"),
        (b"\x80\x04R", "empty stack"),
        (b"\x80\x04u", "SETITEMS"),
        (b"\x80\x04s", "SETITEM"),
        (b"\x80\x04t", "tuple"),
        (b"\x80\x04\x87", "tuple"),
        (b"\x80\x04b", "empty stack"),
        (b"\x80\x04\x94", "puts nothing"),
        (b"\x80\x04}(K\x01}(\x88G" + bytes(8), "bool as an id"),
        (b"\x80\x04}(K\x01}(NG" + bytes(8), "NoneType as an id"),
        (b"\x80\x04}\x8c\x02\xff\xfe", "not UTF-8"),
        (b"cposix\nsystem\n(S'id'\ntR.", "posix.system"),
        (b"\x80\x04NN\x86N\x86", "no part of a numpy number"),
        (b"\x80\x04}N\x86", "no part of a numpy number"),
    ],
)  # fmt: skip
def test_broken_and_hostile_files_are_refused(tmp_path: Path, data: bytes, says: str) -> None:
    assert says in refused(tmp_path, data)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({1: {2: float("nan")}}, "finite"),
        ({1: {2: float("inf")}}, "finite"),
        ({1: {n: float("nan") if n == 70 else 1.0 for n in range(90)}}, "passage '70': a score of nan"),
        ({1: {n: np.float32("inf") if n == 70 else np.float32(1) for n in range(90)}}, "finite"),
        ({1: 0.5}, "a number where the scores of a query"),
        ({1: {2: {3: 0.5}}}, "a dict that is not the scores"),
        ({1: {2: "0.5"}}, ""),
        ({1: {2: 5}}, ""),
        ({1: {2: True}}, ""),
        ({1: {2: None}}, ""),
        ({1: {2: [0.5]}}, "EMPTY_LIST"),
        ({1: [0.5]}, "EMPTY_LIST"),
        ({(1, 2): {2: 0.5}}, "tuple as an id"),
        ({1: {2.5: 0.5}}, "a number where"),
        ({1 << 70: {2: 0.5}}, "an integer of 9 bytes"),
        ({"q" * 600: {2: 0.5}}, "a text of 600 bytes"),
        ({1: {2: np.float16(0.5)}}, "numpy.dtype"),
        ({1: {2: np.int64(5)}}, "an integer of numpy"),
        ([1, 2], "EMPTY_LIST"),
        ("text", "no dict of dicts"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_other_values_are_refused(tmp_path: Path, value: Any, says: str, protocol: int) -> None:
    message = refused(tmp_path, pickle.dumps(value, protocol))
    assert "byte" in message
    assert says in message or "dtype" in message


@pytest.mark.parametrize("protocol", [0, 1])
def test_older_protocols_are_refused(tmp_path: Path, protocol: int) -> None:
    assert refused(tmp_path, pickle.dumps({1: {2: 0.5}}, protocol))


def test_protocol_1_is_named(tmp_path: Path) -> None:
    assert "protocol 0 or 1" in refused(tmp_path, pickle.dumps({1: {2: 0.5}}, 1))


@pytest.mark.parametrize("value", [{np.int64(1): {2: 0.5}}, {1: {np.int64(2): 0.5}}])
def test_integers_of_numpy_are_refused_with_what_ids_are(tmp_path: Path, value: Any) -> None:
    with pytest.raises(InputError, match=r"an integer of numpy \(i8\)") as error:
        read(written(tmp_path, pickle.dumps(value)))
    assert "ids are int or str" in (error.value.hint or "")


def test_a_dict_in_two_places_is_refused(tmp_path: Path) -> None:
    row = {2: 0.5}
    assert "which is a dict or a number" in refused(tmp_path, pickle.dumps({1: row, 3: row}))


@settings(max_examples=200)
@given(data=st.data())
def test_every_truncation_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    whole = pickle.dumps({q: {p: np.float32(p) if q == 3 else p / 3 for p in range(40)} for q in range(5)})
    cut = data.draw(st.integers(1, len(whole) - 1))
    path = tmp_path_factory.getbasetemp() / "cut.pkl"
    path.write_bytes(whole[:cut])
    with pytest.raises(InputError, match="byte"):
        read(path)


@settings(max_examples=500)
@given(data=st.data())
def test_damaged_files_are_read_as_pickle_reads_them_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray(pickle.dumps({q: {p: p / 3 for p in range(20)} for q in range(3)}))
    frame = range(3, 11)  # its length says nothing that the opcodes do not
    place = data.draw(st.integers(0, len(whole) - 1).filter(lambda place: place not in frame))
    whole[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "hurt.pkl"
    path.write_bytes(bytes(whole))
    try:
        found = read(path)
    except InputError:
        return
    assert found == _unpickled(bytes(whole))


PIECES = [
    b"\x80\x04", b"}", b"}\x94", b"(", b"u", b"s", b".", b"K\x01", b"K\x02", b"M\x00\x01",
    b"J\x00\x00\x01\x00", b"G" + struct.pack(">d", 1.5), b"K\x03G" + struct.pack(">d", 2.5),
    b"\x8c\x01a", b"\x8c\x01b\x94", b"\x8c\x01cG" + struct.pack(">d", 3.5), b"h\x00", b"h\x01", b"\x94",
    b"q\x00", b"N", b"\x88", b"t", b"\x86", b"\x87", b"R", b"b", b"cnumpy\ndtype\n", b"C\x01x", b"K\x05}(",
    b"\x8a\x01\x07", b"X\x01\x00\x00\x00d",
]  # fmt: skip


@settings(max_examples=1500)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=24), ended=st.booleans())
def test_any_opcodes_are_read_as_pickle_reads_them_or_refused(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], ended: bool
) -> None:
    data = b"\x80\x04}(" + b"".join(pieces) + (b"u." if ended else b"")
    path = tmp_path_factory.getbasetemp() / "soup.pkl"
    path.write_bytes(data)
    try:
        queries = list(read_pickle_scores(path))
    except InputError:
        return
    if len({one.qid for one in queries}) == len(queries):
        assert read(path) == _unpickled(data)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(queries: int) -> int:
        path = written(
            tmp_path, pickle.dumps({q: dict.fromkeys(range(q, q + 100), 0.5) for q in range(queries)})
        )
        tracemalloc.start()
        for _ in read_pickle_scores(path):
            pass
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(12_000) < 1.2 * peak(3_000)


def test_a_gzip_bomb_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb") as file:
        file.write(b"\x80\x04}\x94(K\x01}\x94(")
        for _ in range(256):
            file.write(b"K\x01G" + bytes(8) + b"K\x01" * (1 << 19))
    path = written(tmp_path, buffer.getvalue(), "bomb.pkl.gz")
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(InputError, match="deeper"):
        read(path)
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


def test_a_query_written_pair_by_pair_comes_in_pieces_too(tmp_path: Path) -> None:
    """SETITEM after every pair: legal, and how a bomb would grow one query without end."""
    pairs = 600_000
    body = b"".join(b"K\x01G" + bytes(8) + b"s" for _ in range(1000)) * (pairs // 1000)
    data = b"\x80\x02}K\x07}" + body + b"s."
    sizes = [len(one.scores) for one in read_pickle_scores(written(tmp_path, data))]
    assert sum(sizes) == pairs
    assert max(sizes) < pairs / 2


def _python_dumps(value: object, protocol: int) -> bytes:
    buffer = io.BytesIO()
    pickle._Pickler(buffer, protocol).dump(value)
    return buffer.getvalue()


def _unpickled(data: bytes) -> Any:
    """What pickle makes of bytes of ours with one byte changed; it may name no class."""

    class Nothing(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            raise AssertionError((module, name))

    return Nothing(io.BytesIO(data)).load()
