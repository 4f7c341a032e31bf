"""Files as people have them: other spellings, other formats, values out of range. Taken, or named."""

from __future__ import annotations

import bz2
import gzip
import io
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from collection_kit import Kit, live_texts

from services.collections.bad_row import BadRow
from services.collections.change import OnError
from services.collections.fields import parse_value
from services.collections.lock import exclusive
from services.collections.sources import files, lines
from services.collections.sources import parquet as parquet_source
from services.collections.sources.beir import beir_folder
from services.errors import InputError


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


@pytest.mark.parametrize("header", ["pid\ttext", "id\ttext", "PID\tText", "_id\tTEXT", "docno\ttext"])
def test_a_header_of_passages_in_any_spelling_is_no_row(kit: Kit, header: str) -> None:
    kit.make(f"{header}\np1\tone\n")
    assert live_texts(kit.open()) == {"p1": "one"}


@pytest.mark.parametrize("header", ["qid\ttext", "query_id\ttext", "qid\tquery", "Query-ID\tText"])
def test_a_header_of_queries_in_any_spelling_is_no_row(kit: Kit, header: str) -> None:
    kit.make("p1\tone\n", {"test": f"{header}\nq1\ta\n"}, {"test": "Query-ID\tcorpus-id\tScore\nq1\tp1\t1\n"})
    assert kit.open().queries("test").qids == ["q1"]


@pytest.mark.parametrize("header", ["pid", "ID", "_id", "docno"])
def test_a_header_of_pids_to_delete_is_no_row(kit: Kit, header: str) -> None:
    kit.make("p1\tone\np2\ttwo\n")
    kit.update(delete=f"{header}\np1\n")
    assert live_texts(kit.open()) == {"p2": "two"}


def test_a_header_has_the_names_of_all_columns(kit: Kit) -> None:
    kit.make("ID\tYear\tText\np1\t1\tone\n", columns="pid,year,text", fields=("year:integer",))
    assert live_texts(kit.open()) == {"p1": "one"}
    kit.make("id\tidentity, a text\n", name="other")
    assert kit.store.exists("collections/other/collection.json")


def beir(kit: Kit, *qrels: str) -> Path:
    folder = kit.folder / "beir"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "p1", "text": "one"}\n')
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "a"}\n')
    for name in qrels:
        (folder / "qrels" / name).write_text("q1\tp1\t1\n")
    return folder


def test_a_beir_folder_takes_only_its_splits(kit: Kit) -> None:
    folder = beir(kit, "test.tsv", "dev.tsv.gz", ".test.tsv.swp", "._dev.tsv", "test.tsv.bak", "README.md")
    (folder / "qrels" / "dev.tsv.gz").write_bytes(gzip.compress(b"q1\tp1\t1\n"))
    assert [split for split, _ in beir_folder(folder).qrels] == ["dev", "test"]


def test_a_split_with_two_files_is_refused(kit: Kit) -> None:
    with pytest.raises(InputError, match=r"split 'test' has two files: .*test\.tsv and .*test\.tsv\.gz"):
        beir_folder(beir(kit, "test.tsv", "test.tsv.gz"))


@pytest.mark.parametrize("name", ["Test.tsv", "test.v2.tsv"])
def test_a_bad_split_name_is_told_with_its_file(kit: Kit, name: str) -> None:
    with pytest.raises(InputError, match=rf"qrels/{name}: bad split name"):
        beir_folder(beir(kit, name))


OUT_OF_RANGE = [pa.array([0, 2**62], pa.timestamp("us")), pa.array([0, 2**30], pa.date32())]


def parquet(kit: Kit, table: pa.Table) -> bytes:
    pq.write_table(table, kit.folder / "p")
    return (kit.folder / "p").read_bytes()


@pytest.mark.parametrize("column", OUT_OF_RANGE, ids=["timestamp", "date"])
def test_a_parquet_value_out_of_range_is_a_bad_row_where_it_is_needed(kit: Kit, column: pa.Array) -> None:
    content = parquet(kit, pa.table({"pid": ["1", "2"], "text": ["one", "two"], "day": column}))
    with pytest.raises(InputError, match=r"p\.parquet:2: column 'day' is out of range"):
        kit.make(content, passages_name="p.parquet", fields=("day:date",))
    kit.make(content, passages_name="p.parquet", fields=("day:date",), on_error="skip")
    assert live_texts(kit.open()) == {"1": "one"}
    kit.make(content, passages_name="p.parquet", name="unused")


@pytest.mark.parametrize(
    ("names", "said"),
    [(["pid", "text", "text"], "two columns 'text'"), (["a", "b", "c"], "none of its columns is known")],
)
def test_parquet_columns_that_cannot_be_told_are_refused(kit: Kit, names: list[str], said: str) -> None:
    table = pa.Table.from_arrays([pa.array(["1"])] * 3, names=names)
    with pytest.raises(InputError, match=said):
        kit.make(parquet(kit, table), passages_name="p.parquet", on_error="skip")


def test_the_name_of_a_parquet_column_that_is_no_utf8_is_refused(kit: Kit) -> None:
    pq.write_table(
        pa.table({"pid": ["1"], "text": ["one"], "zzzz": [1]}), kit.folder / "p", store_schema=False
    )
    content = (kit.folder / "p").read_bytes().replace(b"zzzz", b"\xff\xfe\xff\xff")
    with pytest.raises(InputError, match=r"p\.parquet: the name of a column is broken UTF-8"):
        kit.make(content, passages_name="p.parquet")


def test_a_parquet_column_of_a_time_zone_that_nobody_knows_is_named(kit: Kit) -> None:
    day = pa.array([1], pa.timestamp("us", "Nowhere/Atall"))
    content = parquet(kit, pa.table({"pid": ["1"], "text": ["one"], "day": day}))
    with pytest.raises(InputError, match="column 'day' is in the time zone 'Nowhere/Atall'"):
        kit.make(content, passages_name="p.parquet", fields=("day:date",))
    kit.make(content, passages_name="p.parquet")  # where the column is not read, it does not matter


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "+02:00"])
def test_a_parquet_column_of_a_known_time_zone_is_read(kit: Kit, zone: str) -> None:
    table = pa.table({"pid": ["1"], "text": ["one"], "day": pa.array([1], pa.timestamp("us", zone))})
    kit.make(parquet(kit, table), passages_name="p.parquet", fields=("day:date",))
    assert live_texts(kit.open()) == {"1": "one"}


def test_what_is_packed_and_no_parquet_is_refused_before_it_is_unpacked(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_source, "spilling", lambda: pytest.fail("was unpacked"))
    with pytest.raises(InputError, match=r"p\.parquet\.gz:1: not a parquet file, when unpacked"):
        kit.make(gzip.compress(b"z" * 5000), passages_name="p.parquet.gz")


def test_a_packed_parquet_file_is_read(kit: Kit) -> None:
    content = gzip.compress(parquet(kit, pa.table({"pid": ["1"], "text": ["one"]})))
    kit.make(content, passages_name="p.parquet.gz")
    assert live_texts(kit.open()) == {"1": "one"}


def test_qrels_that_begin_with_a_line_of_tabs_are_a_bad_row(kit: Kit) -> None:
    with pytest.raises(InputError, match=r"qrels.test.txt:1: 0 columns"):
        kit.make("p1\tone\n", {"test": "q1\ta\n"}, {"test": "\t\nq1 0 p1 1\n"})
    kit.make("p1\tone\n", {"test": "q1\ta\n"}, {"test": "\t\nq1 0 p1 1\n"}, on_error="skip")
    assert kit.open().queries("test").qids == ["q1"]


def test_zstd_may_begin_with_a_frame_to_be_skipped(kit: Kit) -> None:
    frame = b"\x5a\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"note"
    kit.make(frame + zstandard.compress(b"p1\tone\n"), passages_name="p.tsv.zst")
    assert live_texts(kit.open()) == {"p1": "one"}


def test_endings_count_in_any_case(kit: Kit) -> None:
    kit.make(gzip.compress(b'{"pid":"p1","text":"one"}\n'), passages_name="x.JSONL.GZ")
    assert live_texts(kit.open()) == {"p1": "one"}


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("p.tsv", "p1\tone\n")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bz2.compress(b"p1\tone\n"), "is a bzip2 file"),
        (zipped(), "is a zip file"),
        (gzip.compress(zipped()), "is a zip file within gzip"),
        (gzip.compress(gzip.compress(b"p1\tone\n")), "is compressed twice"),
        ("p1\tone\n".encode("utf-16"), "is text in UTF-16"),
        ("p1\tone\n".encode("utf-16-le"), "is text in UTF-16"),
        ("p1\tone\n".encode("utf-16-be"), "is text in UTF-16"),
        ("p1\tone\n".encode("utf-32"), "is text in UTF-32"),
        (gzip.compress("p1\tone\n".encode("utf-16")), "is text in UTF-16 within gzip"),
    ],
)
@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_a_format_that_is_not_read_is_named(kit: Kit, content: bytes, said: str, on_error: OnError) -> None:
    with pytest.raises(InputError, match=said) as caught:
        kit.make(content, on_error=on_error)
    assert caught.value.hint


def test_paths_that_the_file_system_refuses_are_said_to_be(kit: Kit) -> None:
    with pytest.raises(InputError, match="cannot be read: File name too long"):
        files.passages(kit.folder / ("x" * 300))
    with pytest.raises(InputError, match="cannot be read: File name too long"):
        beir_folder(kit.folder / ("x" * 300))
    kit.file("file", "")
    locked = exclusive(kit.folder / "file", "c")
    with pytest.raises(InputError, match=r"file/collection-c\.lock: cannot be opened"), locked:
        pass


def test_only_what_is_imported_is_told_of_beir_folders(kit: Kit) -> None:
    with pytest.raises(InputError) as imported:
        files.passages(kit.folder)
    with pytest.raises(InputError) as opened:
        lines.require_file(kit.folder)
    assert ("--beir" in str(imported.value.hint), "--beir" in str(opened.value.hint)) == (True, False)


@pytest.mark.parametrize("kind", ["integer", "float"])
@pytest.mark.parametrize("text", ["1_000", "٣", "１", "0x1", "1 0"])
def test_numbers_of_text_are_ascii(kind: str, text: str) -> None:
    with pytest.raises(BadRow, match=f"is no {kind}"):
        parse_value("n", kind, text, typed=False)  # type: ignore[arg-type]


def test_numbers_of_text_are_read(kit: Kit) -> None:
    given = [("integer", "-5"), ("integer", " +7 "), ("float", "1e3"), ("float", ".5"), ("float", "-2.")]
    kept = [parse_value("n", kind, text, typed=False) for kind, text in given]  # type: ignore[arg-type]
    assert kept == [-5, 7, 1000.0, 0.5, -2.0]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"pid":"2","text":"a","text":"b"}', "the key 'text' is there twice"),
        ('{"pid":"2","text":"a","metadata":{"y":1,"y":2}}', "the key 'y' is there twice"),
        ('{"pid":"2","_id":"3","text":"a"}', "pid '2', but _id '3'"),
        ('{"pid":"2","id":3,"text":"a"}', "pid '2', but id '3'"),
    ],
)
def test_a_json_row_that_says_two_things_is_bad(kit: Kit, row: str, said: str) -> None:
    with pytest.raises(InputError, match=f"p.jsonl:2: {said}"):
        kit.make('{"pid":"1","text":"one"}\n' + row, passages_name="p.jsonl")


def test_a_json_row_that_says_one_thing_twice_is_good(kit: Kit) -> None:
    kit.make('{"pid":"2","_id":2,"text":"a: b","metadata":{"y":{"y":1}}}', passages_name="p.jsonl")
    assert live_texts(kit.open()) == {"2": "a: b"}
