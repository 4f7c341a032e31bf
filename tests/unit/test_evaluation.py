"""Evaluation: measures by name, ranked lists against graded qrels, TREC runs in and out."""

import gzip
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from services.collections.collection import Collection
from services.collections.state import CollectionState
from services.errors import InputError, NotFound, UsageError
from services.evaluation.evaluate import evaluate
from services.evaluation.measures import Threshold, parse_measure, parse_measures, parse_threshold
from services.evaluation.trec_run import read_run, write_run
from services.mining.ranking import Candidates
from services.store import Part, Store

PIDS = ["a", "b", "c", "d", "e"]


def part(store: Store, kind: str, columns: dict[str, Any], rows: int) -> list[Part]:
    def write(stream: IO[bytes]) -> None:
        pq.write_table(pa.table(columns), stream)

    return [store.write_part(f"collections/tiny/{kind}", 0, rows, rows, "parquet", write)]


@pytest.fixture
def tiny(tmp_path: Path) -> Collection:
    """Five passages; q0 and q1 have graded judgements, q2 only one of grade 0, q3 has none."""
    store = Store(str(tmp_path))
    judged = [("q0", "a", 1), ("q0", "b", 2), ("q0", "c", 0), ("q1", "d", 3), ("q2", "e", 0)]
    return Collection(store, CollectionState(
        name="tiny", created="", updated="", min_rel=2, passage_count=5, query_count=4,
        passages=part(store, "passages", {
            "ord": pa.array(range(5), pa.int32()), "pid": PIDS,
            "title": pa.array([None] * 5, pa.string()), "text": PIDS,
        }, 5),
        queries=part(store, "queries", {
            "qord": pa.array(range(4), pa.int32()), "qid": ["q0", "q1", "q2", "q3"], "text": list("wxyz"),
        }, 4),
        splits={"test": part(store, "splits", {"qord": pa.array(range(4), pa.int32())}, 4),
                "bare": part(store, "splits", {"qord": pa.array([3], pa.int32())}, 1)},
        qrels={"test": part(store, "qrels", {
            "qid": [row[0] for row in judged], "pid": [row[1] for row in judged],
            "grade": pa.array([row[2] for row in judged], pa.int32()),
        }, 5)},
    ))  # fmt: skip


def ranking(qord: int, *ords: int, scores: list[float] | None = None) -> Candidates:
    given = scores or [float(len(ords) - rank) for rank in range(len(ords))]
    return Candidates(qord, np.array(ords, np.int32), np.array(given, np.float32))


# -- measures ------------------------------------------------------------------------------------------


def test_a_measure_looks_as_deep_as_its_cutoff_and_a_thousand_without() -> None:
    assert [parse_measure(name).depth for name in ("RR@10", "R(rel=2)@1000", "AP")] == [10, 1000, 1000]


def test_a_binary_measure_takes_the_collections_grade_unless_it_names_one() -> None:
    assert str(parse_measure("RR@10", min_rel=2).measure) == "RR(rel=2)@10"
    assert str(parse_measure("RR(rel=1)@10", min_rel=2).measure) == "RR@10"  # 1 is its default
    assert str(parse_measure("nDCG@10", min_rel=2).measure) == "nDCG@10"


@pytest.mark.parametrize(("name", "what"), [
    ("ndgc@10", "no measure"), ("RR@0", "cutoff 0"), ("RR@-1", "cannot be read"),
    ("RR@ten", "cannot be read"),
    ("RR@1.5", "cutoff 1.5"), ("P", "needs a value for cutoff"), ("RR(depth=3)", "no parameter 'depth'"),
    ("R@99999", "cutoff 99999"), ("", "cannot be read"), ("alpha_nDCG@10", "cannot be computed here"),
])  # fmt: skip
def test_a_wrong_measure_is_refused_with_a_way_out(name: str, what: str) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        parse_measure(name)
    assert caught.value.hint


def test_a_misspelt_measure_is_told_the_right_one() -> None:
    with pytest.raises(UsageError) as caught:
        parse_measure("ndgc@10")
    assert "NDCG" in str(caught.value.hint)


def test_a_threshold_is_what_follows_the_last_equals_sign() -> None:
    assert parse_threshold("R(rel=2)@10=.5") == Threshold("R(rel=2)@10", 0.5)
    for text in ("RR@10", "RR@10=", "=.5", "RR@10=high", "RR@10=nan", "what@10=.5"):
        with pytest.raises(UsageError):
            parse_threshold(text)


# -- evaluation ----------------------------------------------------------------------------------------


def values(tiny: Collection, *rankings: Candidates, names: tuple[str, ...] = ("RR@10",)) -> dict[str, float]:
    return evaluate(tiny, "test", "x", parse_measures(list(names), tiny.state.min_rel), rankings).measures


def test_the_mean_is_over_all_judged_queries_and_nothing_found_counts_zero(tiny: Collection) -> None:
    result = evaluate(tiny, "test", "x", parse_measures(["RR@10"], 2), [ranking(0, 2, 1)])
    assert result.as_dict() == {
        "collection": "tiny", "split": "test", "system": "x", "kind": "retrieval", "queries": 3,
        "measures": {"RR@10": 0.5 / 3},
    }  # fmt: skip


def test_a_grade_below_min_rel_answers_no_binary_measure(tiny: Collection) -> None:
    assert values(tiny, ranking(0, 0))["RR@10"] == 0  # passage a has grade 1
    assert values(tiny, ranking(0, 0), names=("RR(rel=1)@10",))["RR(rel=1)@10"] == pytest.approx(1 / 3)


def test_ndcg_reads_the_grades(tiny: Collection) -> None:
    # q0: grades 1 then 2 instead of 2 then 1; q1: perfect; q2: nothing to find
    dcg = (1 + 2 / np.log2(3)) / (2 + 1 / np.log2(3))
    got = values(tiny, ranking(0, 0, 1), ranking(1, 3), names=("nDCG@10",))
    assert got["nDCG@10"] == pytest.approx((dcg + 1 + 0) / 3)


def test_equal_scores_keep_the_order_that_the_system_gave(tiny: Collection) -> None:
    names = ("RR@10", "RR")  # computed by different providers, each with its own rule for ties
    assert values(tiny, ranking(0, 1, 4, scores=[1, 1]), names=names) == pytest.approx(
        {"RR@10": 1 / 3, "RR": 1 / 3}
    )
    assert values(tiny, ranking(0, 4, 1, scores=[1, 1]), names=names) == pytest.approx(
        {"RR@10": 1 / 6, "RR": 1 / 6}
    )


def test_rankings_of_queries_without_judgements_do_not_count(tiny: Collection) -> None:
    assert values(tiny, ranking(3, 0), ranking(1, 3)) == pytest.approx({"RR@10": 1 / 3})


def test_a_split_without_judgements_is_refused(tiny: Collection) -> None:
    with pytest.raises(NotFound, match="no judgements"):
        evaluate(tiny, "bare", "x", parse_measures(["RR@10"]), [])
    with pytest.raises(NotFound, match="no split"):
        evaluate(tiny, "dev", "x", parse_measures(["RR@10"]), [])


# -- TREC runs -----------------------------------------------------------------------------------------

RUN = """q0 Q0 a 1 3.5 mine
q1 Q0 d 1 0.5 mine
q0 Q0 zz 2 4.5 mine
q9 Q0 a 1 1.0 mine
"""


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "a.run"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_run_is_ordered_by_score_and_unknown_ids_are_counted(tiny: Collection, tmp_path: Path) -> None:
    run = read_run(written(tmp_path, RUN), tiny)
    assert (run.tag, run.unknown_queries, run.unknown_passages) == ("mine", 1, 1)
    assert [(found.qord, found.ords.tolist()) for found in run.rankings] == [(0, [-1, 0]), (1, [3])]
    # the unknown passage keeps its rank
    assert values(tiny, *run.rankings, names=("RR(rel=1)@10",))["RR(rel=1)@10"] == pytest.approx(
        (0.5 + 1 + 0) / 3
    )


def test_equal_scores_of_a_run_are_ordered_as_trec_eval_does(tiny: Collection, tmp_path: Path) -> None:
    run = read_run(written(tmp_path, "q0 Q0 a 1 1 t\nq0 Q0 c 2 1 t\nq0 Q0 b 3 1 t\n"), tiny)
    assert run.rankings[0].ords.tolist() == [2, 1, 0]


def test_scores_of_a_run_that_float32_does_not_tell_apart_are_equal(tiny: Collection, tmp_path: Path) -> None:
    run = read_run(written(tmp_path, "q0 Q0 a 1 87.12345678 t\nq0 Q0 b 2 87.12345671 t\n"), tiny)
    assert run.rankings[0].ords.tolist() == [1, 0]


@pytest.mark.parametrize(("text", "what"), [
    ("q0 Q0 a 1 1.0 t\nq0 a 1.0\n", ":2: expected 6 columns .* found 3"),
    ("q0 Q0 a 1 high t\n", ":1: score 'high'"),
    ("q0 Q0 a 1 nan t\n", ":1: score 'nan'"),
    ("q0 Q0 a 1 2 t\nq0 Q0 b 2 1 t\nq0 Q0 a 3 0 t\n", ":3: passage 'a' is there a second time"),
    ("other Q0 a 1 1 t\n", "none of its 1 queries"),
    ("\n\n", "the run is empty"),
    (b"q0 Q0 a 1 1 t\nq0 Q0 \xff 1 1 t\n", ":2: not UTF-8"),
])  # fmt: skip
def test_a_bad_run_is_refused_with_its_line(tiny: Collection, tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(InputError, match=what) as caught:
        read_run(written(tmp_path, text), tiny)
    assert caught.value.hint


def test_a_line_that_never_ends_is_refused_with_its_number(tiny: Collection, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=":2: the line is longer than 8 MiB"):
        read_run(written(tmp_path, "q0 Q0 a 1 2 t\n" + "x" * (9 << 20)), tiny)


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_a_run_may_be_compressed_and_begin_with_a_byte_order_mark(
    tiny: Collection, tmp_path: Path, ending: str
) -> None:
    data = b"\xef\xbb\xbf" + RUN.encode()
    path = tmp_path / f"a.run.{ending}"
    path.write_bytes(gzip.compress(data) if ending == "gz" else zstandard.ZstdCompressor().compress(data))
    assert repr(read_run(path, tiny).rankings) == repr(read_run(written(tmp_path, RUN), tiny).rankings)


def test_a_damaged_gz_run_is_refused_with_its_line(tiny: Collection, tmp_path: Path) -> None:
    path = tmp_path / "a.run.gz"
    whole = gzip.compress(RUN.encode())
    for data in (whole[:-12], whole[:15] + b"\xff" * 20 + whole[35:]):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"a\.run\.gz:\d+: the file ends early or is damaged"):
            read_run(path, tiny)
    path.write_bytes(b"no gzip")
    with pytest.raises(InputError, match="is no gzip file"):
        read_run(path, tiny)
    with pytest.raises(InputError, match="no such file"):
        read_run(tmp_path / "absent.run", tiny)


@pytest.mark.parametrize("name", ["out.run", "out.run.gz"])
def test_a_written_run_reads_back(tiny: Collection, tmp_path: Path, name: str) -> None:
    given = [ranking(0, 1, 0), ranking(1, 3)]
    assert list(write_run(tmp_path / name, tiny, "bm25", given)) == given
    again = read_run(tmp_path / name, tiny)
    assert again.tag == "bm25"
    assert [(found.qord, found.ords.tolist()) for found in again.rankings] == [(0, [1, 0]), (1, [3])]


def test_a_written_run_has_its_order_where_scores_tie(tiny: Collection, tmp_path: Path) -> None:
    tied = ranking(0, 0, 2, 1, scores=[1, 1, 1 - 1e-7])
    list(write_run(tmp_path / "tied.run", tiny, "bm25", [tied]))
    assert [one.ords.tolist() for one in read_run(tmp_path / "tied.run", tiny).rankings] == [[0, 2, 1]]


def test_a_run_that_ends_early_leaves_no_file(tiny: Collection, tmp_path: Path) -> None:
    path = tmp_path / "out.run"
    stream = write_run(path, tiny, "bm25", [ranking(0, 1), ranking(1, 3)])
    next(iter(stream))
    stream.close()  # type: ignore[attr-defined]
    assert not any("out.run" in child.name for child in tmp_path.iterdir())
    with pytest.raises(InputError, match="cannot be written"):
        list(write_run(tmp_path / "no" / "folder.run", tiny, "bm25", []))
