"""`msmctl evaluate` on the sample collection: what can be measured, and what is refused."""

from __future__ import annotations

import json

import pytest

from tests.integration.conftest import MODEL, Sample


def evaluate(sample: Sample, *arguments: str) -> dict[str, float]:
    return sample.evaluate(sample.name, *arguments)


def test_systems_and_the_hybrid_are_measured_in_the_order_asked(sample: Sample) -> None:
    printed = sample.msmctl(
        "evaluate", "--system", f"hybrid,{MODEL}", "--system", "bm25", "--split", "train", "--json"
    )
    found = json.loads(printed)
    assert [one["system"] for one in found] == ["hybrid", MODEL, "bm25"]
    assert {one["queries"] for one in found} == {24}
    assert all(one["measures"]["R@100"] > 0.9 for one in found)


def test_an_alias_is_measured_under_the_systems_own_name(sample: Sample) -> None:
    printed = sample.msmctl("evaluate", "--system", f"sentence-transformers/{MODEL}", "--json")
    assert json.loads(printed)["system"] == MODEL


def test_knn_of_the_index_equals_exact_products_on_a_small_collection(sample: Sample) -> None:
    assert evaluate(sample, "--system", MODEL, "--engine", "es") == evaluate(sample, "--system", MODEL)


@pytest.mark.parametrize("system", ["bm25", MODEL, "hybrid"])
def test_a_written_run_measures_as_its_system_does(sample: Sample, system: str) -> None:
    measures = ["--measure", "RR@10", "--measure", "nDCG@20", "--measure", "R@5"]
    direct = evaluate(sample, "--system", system, *measures, "--run-out", f"{system}.run.gz")
    again = evaluate(sample, "--run", f"{system}.run.gz", *measures)
    assert again == pytest.approx(direct)


def test_a_retrieval_goes_as_deep_as_its_deepest_measure(sample: Sample) -> None:
    evaluate(sample, "--system", MODEL, "--measure", "RR@3", "--measure", "R@7", "--run-out", "deep.run")
    ranks = [int(line.split()[3]) for line in (sample.folder / "deep.run").read_text().splitlines()]
    assert max(ranks) == 7


def test_a_value_below_its_minimum_fails_after_the_values_were_printed(sample: Sample) -> None:
    done = sample.run("evaluate", "--system", "bm25", "--min", "RR@10=.1", "--min", "P@5=.9", "--json")
    assert done.code == 1
    assert json.loads(done.stdout)["measures"]["P@5"] < 0.9
    assert json.loads(done.stderr.splitlines()[-1])["error"]["code"] == "check_failed"
    sample.msmctl("evaluate", "--system", "bm25", "--min", "RR@10=.1")


@pytest.mark.parametrize(("arguments", "code", "says"), [
    ([], 2, "nothing to measure"),
    (["--system", "bm52"], 7, "bm25"),
    (["--system", "bm25", "--measure", "nCDG@10"], 2, "nDCG"),
    (["--system", "bm25", "--split", "dev"], 7, "no split 'dev'"),
    (["--system", "bm25,hybrid", "--run-out", "a.run"], 2, "one --system"),
    (["--system", "bm25", "--run-out", "no/such/folder.run"], 1, "cannot be written"),
    (["--run", "absent.run"], 1, "no such file"),
    (["--system", "bm25", "--min", "RR@10"], 2, "no threshold"),
    (["--system", "bm25", "--collection", "nothing-here"], 7, "nothing-here"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(sample: Sample, arguments: list[str], code: int, says: str) -> None:
    done = sample.run("evaluate", *arguments)
    assert (done.code, done.stdout) == (code, "")
    assert says in done.stderr


def test_the_hybrid_needs_an_index_that_serves_a_dense_system(sample: Sample, unique: str) -> None:
    judged = ["--queries", "test=queries.test.tsv", "--qrels", "test=qrels.test.tsv"]
    sample.msmctl("collection", "import", unique, "--passages", "passages.tsv", *judged)
    done = sample.run("evaluate", "--collection", unique, "--system", "hybrid")
    assert done.code == 7
    assert f"msmctl index build --collection {unique} --system" in done.stderr
    both = sample.msmctl("evaluate", "--collection", unique, "--system", f"hybrid,{MODEL}", "--json")
    assert [one["system"] for one in json.loads(both)] == ["hybrid", MODEL], (
        "built with the system asked beside it"
    )
    sample.msmctl("collection", "rm", unique, "--yes")
