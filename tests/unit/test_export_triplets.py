"""The eight subsets of the mined-triplets repositories, as `datasets` loads them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from export_kit import QUERIES, SCORES, TAS_B, TEXTS, export, files, loaded, numbered, request, small
from hypothesis import given, settings
from hypothesis import strategies as st
from small_collection import make, update
from small_runs import save_run
from small_scores import save_scores

from services.errors import CheckFailed, Conflict, InputError, NotFound
from services.exports import shards
from services.exports.export import plan, summary, write
from services.exports.recorded import changed_files
from services.negatives.marks import Mark, Marks
from services.negatives.verdicts import Verdict


def named(*triples):
    """Rows of texts, from ids."""
    return [{"query": QUERIES[q], "positive": TEXTS[p], "negative": TEXTS[n]} for q, p, n in triples]


ALL = [("q1", "p1", "p5"), ("q1", "p1", "p3"), ("q1", "p1", "p4"),
       ("q1", "p6", "p5"), ("q1", "p6", "p3"), ("q1", "p6", "p4"),
       ("q2", "p3", "p4"), ("q2", "p3", "p5")]  # fmt: skip
HARD = [("q1", "p1", "p5"), ("q1", "p1", "p3"), ("q1", "p6", "p5"), ("q1", "p6", "p3"), ("q2", "p3", "p5")]


def test_triplet_is_the_first_positive_with_the_first_negative_by_rank(tmp_path):
    manifest = export(small(tmp_path), "triplet", tmp_path / "out")
    assert loaded(tmp_path / "out", "triplet") == named(("q1", "p1", "p5"), ("q2", "p3", "p4"))
    assert (manifest.rows, manifest.queries, manifest.negatives, manifest.left_out) == (2, 2, 2, 0)


def test_triplet_all_is_every_positive_with_every_negative(tmp_path):
    export(small(tmp_path), "triplet-all", tmp_path / "out")
    assert loaded(tmp_path / "out", "triplet-all") == named(*ALL)


def test_triplet_hard_is_those_that_pass_the_margin_of_the_cross_encoder(tmp_path):
    """3 logits: q1's lowest positive has 2.0, so that what is below -1 stays; q2's has 4.0."""
    manifest = export(small(tmp_path), "triplet-hard", tmp_path / "out")
    assert loaded(tmp_path / "out", "triplet-hard") == named(*HARD)
    assert manifest.inputs.filters == ["ce-margin=3,per=lowest"]


def test_triplet_hard_takes_the_margin_that_is_asked_for(tmp_path):
    export(small(tmp_path), "triplet-hard", tmp_path / "out", filters=["ce-margin=7"])
    assert loaded(tmp_path / "out", "triplet-hard") == named(("q1", "p1", "p5"), ("q1", "p6", "p5"))


def test_with_a_margin_per_positive_a_negative_stands_beside_those_that_it_is_far_from(tmp_path):
    """p4 (.5) is 4.5 below p1, but only 1.5 below p6."""
    export(small(tmp_path), "triplet-hard", tmp_path / "out", filters=["ce-margin=3,per=positive"])
    beside_p1 = ("q1", "p1", "p4")
    assert loaded(tmp_path / "out", "triplet-hard") == named(*HARD[:2], beside_p1, *HARD[2:])


def test_who_is_kept_by_a_person_stands_in_triplet_hard_without_a_score(tmp_path):
    collection = small(tmp_path, scored=False)
    save_scores(collection, {pair: score for pair, score in SCORES.items() if pair != ("q2", "p4")})
    marks = Marks(collection, [Mark("q2", "p4", Verdict.KEEP, "read it")])
    export(collection, "triplet-hard", tmp_path / "out", marks=marks)
    assert loaded(tmp_path / "out", "triplet-hard") == named(*HARD[:4], ("q2", "p3", "p4"), *HARD[4:])


def test_triplet_hard_without_scores_says_what_makes_them(tmp_path):
    with pytest.raises(NotFound, match="no scores") as caught:
        plan(small(tmp_path, scored=False), request("triplet-hard", tmp_path / "out"))
    assert "msmctl score" in caught.value.hint


@pytest.mark.parametrize(("subset", "expected"), [("triplet-all-ids", ALL), ("triplet-hard-ids", HARD)])
def test_the_twins_have_integer_ids(tmp_path, subset, expected):
    export(small(tmp_path, integers=True), subset, tmp_path / "out")
    table = pq.read_table(next((tmp_path / "out" / subset).iterdir()))
    assert {str(field.type) for field in table.schema} == {"int64"}
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        tuple(int(numbered(one)) for one in row) for row in expected
    ]
    assert not (tmp_path / "out" / subset / "ids.parquet").exists()


def test_where_ids_are_no_integers_the_twins_have_ords_and_a_table_of_ids(tmp_path):
    export(small(tmp_path), "triplet-all-ids", tmp_path / "out")
    ids = pq.read_table(tmp_path / "out" / "triplet-all-ids" / "ids.parquet").to_pylist()
    assert len(ids) == len(TEXTS) + len(QUERIES)
    name = {(row["kind"], row["ord"]): row["id"] for row in ids}
    rows = loaded(tmp_path / "out", "triplet-all-ids")
    assert [
        (name["query", row["query"]], name["passage", row["positive"]], name["passage", row["negative"]])
        for row in rows
    ] == ALL


def test_triplet_50_leaves_out_queries_with_fewer_and_counts_them(tmp_path):
    pids = [f"p{n}" for n in range(60)]
    collection = make(
        tmp_path, passages={pid: f"passage number {pid}" for pid in pids},
        queries={"train": {"a": "one", "b": "two"}}, qrels={"train": [("a", "p0", 1), ("b", "p1", 1)]},
    )  # fmt: skip
    save_run(collection, "bm25", {"a": pids[:51], "b": pids[:50]}, depth=60)
    manifest = export(collection, "triplet-50", tmp_path / "out")
    assert (manifest.rows, manifest.queries, manifest.negatives, manifest.left_out) == (1, 1, 50, 1)
    expected = {f"negative_{n}": f"passage number p{n}" for n in range(1, 51)}
    assert loaded(tmp_path / "out", "triplet-50") == [
        {"query": "one", "positive": "passage number p0"} | expected
    ]


def test_an_export_without_a_row_fails_with_the_histogram_of_margins_and_leaves_nothing(tmp_path):
    with pytest.raises(CheckFailed, match=r"nothing is left of 12 candidates.*\n(.*\n)*-?\d.*#.*1") as caught:
        export(small(tmp_path), "triplet-hard", tmp_path / "out", filters=["ce-margin=50"])
    assert caught.value.exit_code == 1
    assert not (tmp_path / "out").exists()
    with pytest.raises(CheckFailed, match="no query has enough of the 7 negatives"):
        export(small(tmp_path / "more"), "triplet-50", tmp_path / "out")


# -- any runs, any judgements, any scores --------------------------------------------------------------

PIDS = [str(n) for n in range(7)]


def expected_rows(ranked, judged, scores, margin, per):
    """The definition, pair by pair."""
    for qid in ("100", "101"):
        ranks: dict[str, tuple[int, int]] = {}
        for system, lists in enumerate(ranked):
            for rank, pid in enumerate(lists[qid]):
                ranks[pid] = min(ranks.get(pid, (99, 99)), (rank, system))
        positives = [pid for pid in PIDS if (qid, pid) in judged and (qid, pid) in scores]
        bars = {pid: scores[qid, pid] for pid in positives}
        for positive in positives:
            for pid in sorted(ranks, key=ranks.__getitem__):
                bar = bars[positive] if per == "positive" else min(bars.values())
                if (qid, pid) not in judged and bar - scores.get((qid, pid), np.inf) > margin:
                    yield int(qid), int(positive), int(pid)


@settings(max_examples=40)
@given(data=st.data())
def test_triplet_hard_is_what_its_definition_says(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("any")
    pair = st.tuples(st.sampled_from(["100", "101"]), st.sampled_from(PIDS))
    judged = data.draw(st.sets(pair, min_size=1))
    scores = {
        one: float(data.draw(st.integers(-4, 4))) for one in sorted(data.draw(st.sets(pair, min_size=1)))
    }
    ranking = st.lists(st.sampled_from(PIDS), unique=True)
    ranked = [{qid: data.draw(ranking) for qid in ("100", "101")} for _ in range(2)]
    per = data.draw(st.sampled_from(["lowest", "positive"]))
    collection = make(
        folder, passages={pid: f"text {pid}" for pid in PIDS}, queries={"train": {"100": "x", "101": "y"}},
        qrels={"train": [(*one, 1) for one in judged]},
    )  # fmt: skip
    for system, lists in zip(("bm25", TAS_B), ranked, strict=True):
        save_run(collection, system, lists)
    save_scores(collection, scores)
    rows = list(expected_rows(ranked, judged, scores, 1, per))
    try:
        export(collection, "triplet-hard-ids", folder / "out", filters=[f"ce-margin=1,per={per}"])
    except CheckFailed:
        assert not rows
        return
    found = pq.read_table(folder / "out" / "triplet-hard-ids" / "train-00000-of-00001.parquet")
    assert [tuple(row.values()) for row in found.to_pylist()] == rows


# -- the folder ----------------------------------------------------------------------------------------


def test_subsets_and_splits_share_a_folder_and_its_card_lists_them(tmp_path):
    out = tmp_path / "out"
    export(small(tmp_path), "triplet", out)
    export(small(tmp_path / "b", split="dev"), "triplet", out, split="dev")
    export(small(tmp_path / "c"), "triplet-all-ids", out)
    assert set(files(out)) == {
        "README.md",
        "triplet.train.manifest.json", "triplet.dev.manifest.json", "triplet-all-ids.train.manifest.json",
        "triplet/train-00000-of-00001.parquet", "triplet/dev-00000-of-00001.parquet",
        "triplet-all-ids/train-00000-of-00001.parquet", "triplet-all-ids/ids.parquet",
    }  # fmt: skip
    head = yaml.safe_load((out / "README.md").read_text().split("---")[1])
    assert [config["config_name"] for config in head["configs"]] == ["triplet", "triplet-all-ids"]
    assert loaded(out, "triplet", "dev") == loaded(out, "triplet") == named(
        ("q1", "p1", "p5"), ("q2", "p3", "p4")
    )  # fmt: skip
    assert len(loaded(out, "triplet-all-ids")) == 8


@pytest.mark.parametrize(
    ("name", "shared"),
    [
        ("triplet-ids", ["triplet-ids/ids.parquet"]),
        ("msmarco", ["corpus/train-00000-of-00001.parquet", "queries/train-00000-of-00001.parquet"]),
        ("pylate-kd", ["documents/train-00000-of-00001.parquet", "queries/train-00000-of-00001.parquet"]),
    ],
)
def test_a_second_split_shares_the_files_that_all_splits_have_alike(tmp_path, name, shared):
    collection, out = small(tmp_path), tmp_path / "out"
    export(collection, name, out)
    before = files(out)
    export(small(tmp_path / "b", split="dev"), name, out, split="dev")
    after = files(out)
    assert {one: after[one] for one in shared} == {one: before[one] for one in shared}
    assert {f"{name}.train.manifest.json", f"{name}.dev.manifest.json"} <= set(after)
    assert not list(changed_files(out))
    assert plan(collection, request(name, out)).fresh


def test_a_second_split_leaves_no_shards_of_the_earlier_state_beside_its_own(tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as smaller:
        smaller.setattr("services.collections.collection._RANGE_BYTES", 1)
        smaller.setattr(shards, "SHARD_BYTES", 1)
        small(tmp_path)
        export(update(tmp_path, passages={"p7": "Fog is a cloud on the ground."}), "msmarco", out)
    assert len(list((out / "corpus").iterdir())) == 2
    export(small(tmp_path / "b", split="dev"), "msmarco", out, split="dev")
    assert [path.name for path in (out / "corpus").iterdir()] == ["train-00000-of-00001.parquet"]
    assert [row["passage_id"] for row in loaded(out, "corpus")] == list(TEXTS)


@pytest.mark.parametrize(("of", "second"), [("small", "pylate-kd"), ("other", "msmarco")])
def test_what_another_formats_or_collections_export_has_written_is_not_replaced(tmp_path, of, second):
    out = tmp_path / "out"
    export(small(tmp_path / "a", split="dev", name=of), "msmarco", out, split="dev")
    before = files(out)
    with pytest.raises(Conflict, match=f"belongs to the export of `msmarco` from collection '{of}'"):
        export(small(tmp_path), second, out)
    assert files(out) == before


def test_a_subset_alone_is_held_against_the_manifest_above_it(tmp_path):
    out = tmp_path / "out"
    export(small(tmp_path), "triplet", out)
    export(small(tmp_path / "b"), "triplet-all", out)
    changed, other = (out / name / "train-00000-of-00001.parquet" for name in ("triplet", "triplet-all"))
    changed.write_bytes(changed.read_bytes()[:-1] + b"!")
    other.unlink()
    assert dict(changed_files(changed.parent)) == {changed: "its sha256 is not that of its manifest"}
    assert dict(changed_files(other.parent)) == {other: "its manifest names it, and it is not there"}


def test_splits_whose_names_begin_alike_stay_apart_and_a_dash_becomes_what_the_library_takes(tmp_path):
    export(small(tmp_path, split="dl"), "triplet", tmp_path / "out", split="dl")
    export(small(tmp_path / "b", split="dl-19"), "triplet-all", tmp_path / "out", split="dl-19")
    export(small(tmp_path / "c", split="dl-19"), "triplet", tmp_path / "out", split="dl-19", num=1)
    assert len(loaded(tmp_path / "out", "triplet", "dl")) == 2
    assert len(loaded(tmp_path / "out", "triplet", "dl_19")) == 2
    assert len(loaded(tmp_path / "out", "triplet-all", "dl_19")) == 8


def test_a_subset_that_is_there_is_fresh_until_one_of_its_files_or_the_card_is_missing(tmp_path):
    collection, out = small(tmp_path), tmp_path / "out"
    export(collection, "triplet", out)
    planned = plan(collection, request("triplet", out))
    assert planned.fresh
    assert summary(planned, None)["files"] == ["triplet/train-00000-of-00001.parquet"]
    (out / "README.md").unlink()
    assert not plan(collection, request("triplet", out)).fresh
    export(collection, "triplet", out)
    (out / "triplet" / "train-00000-of-00001.parquet").unlink()
    assert not plan(collection, request("triplet", out)).fresh


def test_another_export_of_a_subset_takes_the_place_of_all_its_shards(tmp_path, monkeypatch):
    collection, out = small(tmp_path), tmp_path / "out"
    monkeypatch.setattr("services.negatives.reader.BLOCK", 1)
    with monkeypatch.context() as smaller:
        smaller.setattr(shards, "SHARD_BYTES", 1)
        export(collection, "triplet-all", out)
    assert len(list((out / "triplet-all").iterdir())) == 2
    assert loaded(out, "triplet-all") == named(*ALL)
    export(collection, "triplet-all", out, depth=1)
    assert [path.name for path in (out / "triplet-all").iterdir()] == ["train-00000-of-00001.parquet"]
    shutil.rmtree(tmp_path / "out-cache")
    assert loaded(out, "triplet-all") == named(
        ("q1", "p1", "p5"), ("q1", "p1", "p3"), ("q1", "p6", "p5"), ("q1", "p6", "p3"), ("q2", "p3", "p4")
    )


class Killed(BaseException):
    pass


@pytest.mark.parametrize("name", ["triplet-all", "triplet-hard-ids"])
def test_a_killed_export_goes_on_behind_the_last_whole_shard_and_has_the_same_bytes(
    tmp_path, monkeypatch, name
):
    monkeypatch.setattr("services.negatives.reader.BLOCK", 1)
    monkeypatch.setattr(shards, "SHARD_BYTES", 1)
    collection = small(tmp_path)
    export(collection, name, tmp_path / "whole")

    def kill(queries: int) -> None:
        if queries:
            raise Killed

    with pytest.raises(Killed):
        write(plan(collection, request(name, tmp_path / "cut")), kill)
    assert [path.name for path in (tmp_path / "cut").iterdir()] == [f".{name}.train.partial"]
    again: list[int] = []
    write(plan(collection, request(name, tmp_path / "cut")), again.append)
    assert again[0] == 1, "the first shard is not written again"
    whole, cut = files(tmp_path / "whole"), files(tmp_path / "cut")
    manifests = [json.loads(some.pop(f"{name}.train.manifest.json")) for some in (whole, cut)]
    assert whole == cut
    assert manifests[0] | {"file": "cut"} == manifests[1]


def test_killed_while_files_are_put_in_place_the_same_command_finishes_it(tmp_path, monkeypatch):
    collection, out = small(tmp_path), tmp_path / "out"
    export(collection, "triplet", out)
    whole = files(out)

    def die(*_):
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr("services.exports.place.shutil.rmtree", die)
        with pytest.raises(Killed):
            export(collection, "triplet", out, force=True)
    assert "README.md" not in files(out), "what is not in place yet is not listed"
    assert not plan(collection, request("triplet", out)).fresh
    export(collection, "triplet", out)
    assert files(out) == whole


def test_two_exports_of_one_subset_do_not_mix(tmp_path):
    collection, out = small(tmp_path), tmp_path / "out"
    planned = plan(collection, request("triplet", out))
    with planned.place.sink(planned.outputs[0], "x"), pytest.raises(Conflict, match="another process"):
        write(planned)


@pytest.mark.parametrize("name", ["train-00000-of-00001.parquet", "train-00001-of-00002.parquet"])
def test_what_somebody_has_put_into_a_subset_is_not_overwritten(tmp_path, name):
    collection, out = small(tmp_path), tmp_path / "out"
    export(collection, "triplet", out)
    (out / "triplet" / name).write_bytes(b"mine")
    with pytest.raises(Conflict, match=name):
        export(collection, "triplet", out, depth=1)
    assert (out / "triplet" / name).read_bytes() == b"mine"
    export(collection, "triplet", out, depth=1, force=True)
    assert [path.name for path in (out / "triplet").iterdir()] == ["train-00000-of-00001.parquet"]


@pytest.mark.parametrize("step", ["_write", "card.write"])
def test_killed_while_an_export_takes_the_place_of_another_the_same_command_finishes_it(
    tmp_path, monkeypatch, step
):
    collection, out = small(tmp_path), tmp_path / "out"
    export(collection, "msmarco", out)
    calls = []

    def killed(*arguments, **more):
        calls.append(arguments)
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(f"services.exports.place.{step}", killed)
        with pytest.raises(Killed):
            export(collection, "msmarco", out, depth=1)
    export(collection, "msmarco", out, depth=1)
    assert calls
    assert not list(changed_files(out))
    assert plan(collection, request("msmarco", out, depth=1)).fresh


def test_what_is_no_export_of_ours_is_not_overwritten(tmp_path):
    collection, out = small(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / "README.md").write_text("# My own words")
    with pytest.raises(Conflict, match=r"README\.md: exists"):
        export(collection, "triplet", out)
    assert (out / "README.md").read_text() == "# My own words"
    (out / "README.md").unlink()
    (out / "triplet").mkdir()
    (out / "triplet" / "train-00000-of-00001.parquet").write_text("precious")
    with pytest.raises(Conflict, match="exists"):
        export(collection, "triplet", out)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is no folder"):
        export(collection, "triplet", tmp_path / "file")
    with pytest.raises(InputError, match="no such folder"):
        export(collection, "triplet", tmp_path / "missing" / "out")
