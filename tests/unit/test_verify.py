"""`verify`: finds what is wrong in any file of negatives, and survives any file."""

from __future__ import annotations

import gzip
import json
import random

import pytest
import zstandard
from small_collection import make

from services.collections.sources.lines import LONGEST_LINE
from services.errors import InputError, NotFound
from services.exports.report import EXAMPLES
from services.exports.verify import verify

LONG = "The moon pulls the water nearest to it and so the sea rises and falls about twice a day everywhere."
PASSAGES = {
    "1": LONG,
    "2": LONG.upper(),
    "3": LONG.replace("everywhere", "here"),
    "4": "Rivers carry minerals to the sea.",
    "5": "Dew settles on the grass.",
    "6": "Thunder follows lightning.",
}


@pytest.fixture
def collection(tmp_path):
    return make(tmp_path, passages=PASSAGES, min_rel=2,
                queries={"train": {"10": "tides"}, "test": {"11": "dew"}},
                qrels={"train": [("10", "1", 2), ("10", "6", 1)], "test": [("11", "5", 2)]})  # fmt: skip


def checked(tmp_path, collection, *lines, **options):
    file = tmp_path / "file.jsonl"
    file.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return verify(file, collection, **options)


def found(report):
    return {kind: n for kind, n in report.findings.items() if n}


def line(qid=10, pos=(1,), **neg):
    return {"qid": qid, "pos": list(pos), "neg": {name: list(ids) for name, ids in neg.items()}}


def test_a_good_file(tmp_path, collection):
    report = checked(tmp_path, collection, line(bm25=[4, 5]), line(qid="11", pos=["5"], bm25=["4", "6"]))
    assert report.ok
    assert report.as_dict() == {
        "file": str(tmp_path / "file.jsonl"), "collection": "small",
        "formats": ["hard-negatives"], "lines": 2, "negatives": 4,
        "systems": {"bm25": {"lists": 2, "negatives": 4, "min": 2, "max": 2}},
        "findings": dict.fromkeys(["positives", "judged", "exact_copies", "near_copies", "repeats",
                                   "unknown_pids", "unknown_qids", "malformed", "changed"], 0),
        "short_lists": {"bm25": 0}, "required_depth": None, "examples": [], "ok": True,
    }  # fmt: skip


@pytest.mark.parametrize(("lines", "kinds"), [
    ([line(bm25=[4, 1])], {"positives": 1}),
    ([line(pos=[1, 4], bm25=[4])], {"positives": 1}),
    ([line(pos=[], bm25=[1])], {"positives": 1}),
    ([line(bm25=[2], dense=[2])], {"exact_copies": 2}),
    ([line(bm25=[3])], {"near_copies": 1}),
    ([line(bm25=[6])], {"judged": 1}),
    ([line(bm25=[4, 5, 4])], {"repeats": 1}),
    ([line(bm25=[4]), line(bm25=[5])], {"repeats": 1}),
    ([line(bm25=[4, 99, "x"])], {"unknown_pids": 2}),
    ([line(qid=12, bm25=[4])], {"unknown_qids": 1}),
    ([line(qid=11, pos=[5], bm25=[1])], {}),
])  # fmt: skip
def test_each_finding(tmp_path, collection, lines, kinds):
    report = checked(tmp_path, collection, *lines)
    assert found(report) == kinds
    assert report.ok == (not kinds)


def test_an_example_says_where(tmp_path, collection):
    report = checked(tmp_path, collection, line(qid=11, pos=[5], bm25=[4]), line(bm25=[4, 1]))
    assert report.examples == [{"finding": "positives", "line": 2, "qid": "10", "pid": "1", "list": "bm25"}]


def test_examples_are_few(tmp_path, collection):
    report = checked(tmp_path, collection, line(bm25=[100 + n for n in range(50)]))
    assert report.findings["unknown_pids"] == 50
    assert len(report.examples) == EXAMPLES


def test_a_query_is_there_twice_also_where_two_shards_have_it(tmp_path, collection):
    folder = tmp_path / "out"
    folder.mkdir()
    for name, one in {
        "n-00000-of-00002.jsonl": line(bm25=[4]),
        "n-00001-of-00002.jsonl": line(bm25=[5]),
        "other.jsonl": line(bm25=[5]),
    }.items():
        (folder / name).write_text(json.dumps(one) + "\n")
    report = verify(folder, collection)
    assert found(report) == {"repeats": 1}
    place = {"finding": "repeats", "file": "n-00001-of-00002.jsonl", "line": 1, "qid": "10"}
    assert report.examples == [place]


def test_one_splits_judgements_alone(tmp_path, collection):
    lines = [line(qid=11, pos=[], bm25=[5])]
    assert found(checked(tmp_path, collection, *lines)) == {"positives": 1}
    assert found(checked(tmp_path, collection, *lines, splits=["train"])) == {}
    with pytest.raises(NotFound):
        checked(tmp_path, collection, *lines, splits=["dev"])


def test_short_lists_fail_only_where_a_depth_is_required(tmp_path, collection):
    lines = [line(bm25=[4, 5], dense=[4]), line(qid=11, pos=[5], bm25=[4])]
    report = checked(tmp_path, collection, *lines)
    assert report.ok
    assert report.short_lists() == {"bm25": 1, "dense": 1}
    report = checked(tmp_path, collection, *lines, required=1)
    assert not report.ok
    assert report.short_lists() == {"bm25": 0, "dense": 1}
    assert not checked(tmp_path, collection, *lines, required=2).ok


@pytest.mark.parametrize("lines", [
    [line()],
    [line(bm25=[4, 5]), line(qid=11, pos=[5])],
])  # fmt: skip
def test_where_a_depth_is_required_every_line_needs_lists(tmp_path, collection, lines):
    report = checked(tmp_path, collection, *lines, required=1)
    assert not report.ok
    assert report.shortcomings()
    assert "mine --depth 1" in report.remedy()


@pytest.mark.parametrize("content", [b"\n", b" \n\n", b"\xef\xbb\xbf", gzip.compress(b"")])
def test_a_file_with_nothing_in_it(tmp_path, collection, content):
    (tmp_path / "blank.jsonl").write_bytes(content)
    with pytest.raises(InputError, match="no line in it"):
        verify(tmp_path / "blank.jsonl", collection)


def test_a_byte_order_mark_is_passed_over(tmp_path, collection):
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbf" + json.dumps(line(bm25=[4])).encode())
    assert verify(tmp_path / "x", collection).ok


def test_a_quote_and_a_colon_in_a_string_are_no_key(tmp_path, collection):
    assert checked(tmp_path, collection, line(bm25=[4]) | {"note": 'a ": b', "more": {"a": {"a": 1}}}).ok


@pytest.mark.parametrize(("lines", "remedy"), [
    (["{", line(bm25=[1])], "mend the lines"),
    ([line(bm25=[99, 1])], "another collection"),
    ([line(bm25=[1])], "export hard-negatives"),
])  # fmt: skip
def test_the_remedy_fits_what_was_found(tmp_path, collection, lines, remedy):
    assert remedy in checked(tmp_path, collection, *lines).remedy()


@pytest.mark.parametrize("bad", [
    "{", "[1, 2]", "null", '"x"', '{"qid": 10, "pos": []}', '{"qid": 10, "pos": [], "neg": [4]}',
    '{"qid": 10, "pos": 1, "neg": {}}', '{"qid": true, "pos": [], "neg": {}}',
    '{"qid": 1.5, "pos": [], "neg": {}}',
    '{"qid": 10, "pos": [], "neg": {"bm25": 4}}', '{"qid": 10, "pos": [], "neg": {"bm25": [null]}}',
    '{"qid": 10, "pos": [], "neg": {"bm25": [99999999999999999999999]}}', "[" * 5000,
    '{"qid": "\\ud800", "pos": [], "neg": {}}',
    '{"qid": 10, "pos": [], "neg": {"bm25": [1, 4], "bm25": [4]}}',
    '{"qid": 10, "pos": [1], "pos" : [], "neg": {"bm25": [4]}}',
    '{"qid": 10, "pos": [], "neg": {}, "more": ' + '{"a":' * 1000 + "1" + "}" * 1001,
])  # fmt: skip
def test_a_malformed_line_is_counted_and_the_rest_read(tmp_path, collection, bad):
    report = checked(tmp_path, collection, bad, line(bm25=[4]))
    assert found(report) == {"malformed": 1}
    assert report.examples[0]["line"] == 1
    assert report.negatives == 1


def test_bytes_that_are_no_text(tmp_path, collection):
    (tmp_path / "x").write_bytes(b'{"qid": "\xff\xfe"}\n' + json.dumps(line(bm25=[4])).encode())
    assert found(verify(tmp_path / "x", collection)) == {"malformed": 1}


def test_a_line_without_end_is_not_read_into_memory(tmp_path, collection):
    with gzip.open(tmp_path / "x.gz", "wb", compresslevel=1) as stream:
        for _ in range(10):
            stream.write(b"[" * LONGEST_LINE)
        stream.write(b"\n" + json.dumps(line(bm25=[4])).encode())
    report = verify(tmp_path / "x.gz", collection)
    assert (found(report), report.lines, report.negatives) == ({"malformed": 1}, 2, 1)


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_a_cut_off_file(tmp_path, collection, ending):
    text = "".join(json.dumps(line(qid=10 + n % 2, pos=[], bm25=[4])) + "\n" for n in range(20000)).encode()
    data = gzip.compress(text) if ending == "gz" else zstandard.ZstdCompressor().compress(text)
    (tmp_path / f"x.{ending}").write_bytes(data[: len(data) // 2])
    report = verify(tmp_path / f"x.{ending}", collection)
    assert report.findings["malformed"] == 1
    assert "ends early or is damaged" in str(report.examples)


def test_a_cut_off_run_is_known_by_the_lines_that_are_left(tmp_path, collection):
    rows = "".join(f"10 Q0 4 1 {n}.5 {random.Random(n).randbytes(60).hex()}\n" for n in range(20000))
    (tmp_path / "x.gz").write_bytes(gzip.compress(rows.encode())[:-9999])
    report = verify(tmp_path / "x.gz", collection)
    assert report.formats == ["trec-run"]
    assert report.findings["malformed"] == 1
    assert "ends early or is damaged" in report.examples[0]["what"]


@pytest.mark.parametrize("content", [None, b"", b"no gzip"])
def test_a_file_that_is_none(tmp_path, collection, content):
    file = tmp_path / "x.gz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.gz"):
        verify(file, collection)


def test_gzip_members_in_a_row_are_one_file(tmp_path, collection):
    one, other = (json.dumps(line(qid=qid, pos=[], bm25=[4])).encode() + b"\n" for qid in (10, 11))
    (tmp_path / "x.gz").write_bytes(gzip.compress(one) + gzip.compress(other))
    assert verify(tmp_path / "x.gz", collection).lines == 2
    pack = zstandard.ZstdCompressor().compress
    (tmp_path / "x.zst").write_bytes(pack(one) + pack(other))
    assert verify(tmp_path / "x.zst", collection).lines == 2


def test_thousands_of_systems_are_no_systems(tmp_path, collection):
    report = checked(tmp_path, collection, line(**{f"s{n}": [4] for n in range(1200)}))
    assert len(report.systems) == 1000
    assert found(report) == {"malformed": 200}
