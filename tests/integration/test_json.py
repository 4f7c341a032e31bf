"""The JSON that commands print has the documented shape (docs/json.md, docs/schemas)."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.conftest import ROOT, Cli
from tests.docs_kit import SCHEMAS, validate
from tests.integration.conftest import MODEL, Sample

# schema -> the commands that print it; {c} is the sample collection
COMMANDS = {
    "status": ["status"],
    "credentials": ["credentials reader"],
    "collection-change": [
        "collection import {c}-again --passages passages.tsv --dry-run",
        "collection update {c} --passages passages.jsonl",
    ],
    "collection-list": ["collection ls"],
    "collection-show": ["collection show {c}"],
    "collection-verify": ["collection verify {c}"],
    "collection-use": ["collection use {c}"],
    "systems-list": ["systems ls"],
    "system": [f"systems show {MODEL}", "systems show bm25"],
    "systems-pull": [f"systems pull {MODEL}"],
    "systems-verify": [f"systems verify {MODEL}", f"systems verify {MODEL} --collection {{c}}"],
    "jobs-plan": [
        f"mine --collection {{c}} --system bm25,{MODEL} --depth 7 --dry-run",
        f"plan mine --collection {{c}} --system bm25,{MODEL} --depth 7",
        f"index build --collection {{c}} --system {MODEL} --force --dry-run --measure",
    ],
    "jobs-outcome": [
        "jobs probe",
        f"mine --collection {{c}} --system bm25,{MODEL} --depth 5",
        "publish negatives --collection {c}",
        f"encode --collection {{c}} --system {MODEL}",
        f"index build --collection {{c}} --system {MODEL}",
    ],
    "index-list": ["index ls --collection {c}", "index ls"],
    "index-show": ["index show --collection {c}"],
    "index-verify": ["index verify --collection {c}"],
    "negatives-show": ["negatives show t1 --collection {c}"],
    "negatives-stats": ["negatives stats --collection {c} --filter max-per-system=3"],
    "negatives-filters": ["negatives filters"],
    "mark": [
        "negatives mark t1 tides --collection {c} --verdict excluded --reason shape",
        "negatives unmark t1 tides --collection {c}",
    ],
    "marks-list": ["negatives marks ls --collection {c} --history", "negatives marks ls --collection {c}"],
    "export": [
        "export hard-negatives --collection {c} -o shape.jsonl.gz --force",
        "export hard-negatives --collection {c} -o shape.jsonl.gz --filter rank-range=1:9 --dry-run",
    ],
    "verify": ["verify shape.jsonl.gz --collection {c}"],
    "models-list": ["models ls"],
    "publish-list": ["publish ls --collection {c}", "publish ls"],
    "evaluate": [
        "evaluate --collection {c} --system bm25 --run-out shape.trec",
        f"evaluate --collection {{c}} --system bm25,{MODEL},hybrid",
    ],
    "rerank": [
        f"rerank --run shape.trec --collection {{c}} --system {MODEL} -o reranked.trec --force",
        f"rerank --run shape.trec --collection {{c}} --system {MODEL} -o reranked.trec --dry-run",
    ],
    "run-list": ["run ls --collection {c}"],
    "run-show": ["run show bm25 --collection {c} --split train"],
    "search": [
        "search steam --collection {c} --explain",
        "search steam --collection {c} --mode bm25",
        "search qqqq --collection {c} --mode bm25",
        "search --lookup t1 --collection {c} --explain --from 3 --budget-ms 60000",
    ],
    "tune-plan": ["tune hybrid --collection {c} --split train --dry-run"],
    "tune-forget": ["tune forget --collection {c}"],
    "query-put": ["query put steam --collection {c}"],
    "ce-list": ["ce ls"],
    "ce": ["ce show ms-marco-MiniLM-L6-v2"],
    "api-key-created": ["api keys create --scope search --collection {c} --expires 1h"],
    "api-keys-list": ["api keys ls"],
    "gateway-alias": ["gateway set msm-{c} hybrid --fusion rrf", "gateway unset msm-{c}"],
    "gateway-list": ["gateway ls"],
    "kibana-export": ["kibana export -o kibana.ndjson", "kibana export -o kibana.ndjson --collection {c}"],
    "kibana-hash": ["kibana hash steam"],
    "jobs-list": ["jobs ls"],
    "logs": ["logs worker -n 1"],
    "config": ["config show", "config show --origin"],
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_the_output_is_one_json_value_of_the_documented_shape(sample: Sample, name: str) -> None:
    for command in COMMANDS[name]:
        validate(name, json.loads(sample.msmctl(*command.format(c=sample.name).split(), "--json")))


def test_a_job_has_the_documented_shape(sample: Sample) -> None:
    jobs = json.loads(sample.msmctl("jobs", "ls", "--json"))
    validate("job", json.loads(sample.msmctl("jobs", "show", jobs[0]["job"], "--json")))


def test_what_is_done_to_a_job_has_the_documented_shape(sample: Sample) -> None:
    sample.msmctl("jobs", "probe", "--pause", "30", "--detach")
    job = json.loads(sample.msmctl("jobs", "ls", "--json"))[0]["job"]
    for command in ("pause", "resume", "cancel", "retry", "cancel"):
        validate("jobs-list", json.loads(sample.msmctl("jobs", command, job, "--json")))
    watched = sample.msmctl("jobs", "watch", job, "--json", code=1).splitlines()
    validate("jobs-list", [json.loads(line) for line in watched])
    assert json.loads(watched[-1])["state"] == "cancelled"
    validate("jobs-list", json.loads(sample.msmctl("jobs", "rm", job, "--json")))


def test_a_revoked_key_has_the_documented_shape(sample: Sample) -> None:
    made = json.loads(sample.msmctl("api", "keys", "create", "--scope", "embed", "--json"))
    revoked = json.loads(sample.msmctl("api", "keys", "revoke", made["id"], "--json"))
    validate("api-key", revoked)
    assert revoked["state"] == "revoked"


def test_the_log_of_a_job_has_the_documented_shape(sample: Sample) -> None:
    sample.msmctl("index", "build", "--collection", sample.name, "--system", MODEL, "--force")
    jobs = json.loads(sample.msmctl("jobs", "ls", "--json"))
    job = next(job["job"] for job in jobs if job["kind"] == "index")
    lines = sample.msmctl("jobs", "logs", job, "--json").splitlines()
    assert lines
    for line in lines:
        validate("jobs-logs", json.loads(line))


def test_what_is_done_to_index_versions_has_the_documented_shape(sample: Sample, unique: str) -> None:
    def done(schema: str, *arguments: str) -> Any:
        printed = sample.msmctl(*arguments, "--collection", unique, "--json")
        validate(schema, json.loads(printed))
        return json.loads(printed)

    sample.msmctl("collection", "import", unique, "--passages", "passages.tsv")
    done("jobs-outcome", "index", "build", "--system", "bm25")
    (sample.folder / "more.tsv").write_text("more\tSpring tides come twice a month.\n")
    sample.msmctl("collection", "update", unique, "--passages", "more.tsv")
    done("jobs-outcome", "index", "build", "--system", "bm25")
    assert done("index-diff", "index", "diff", "v1", "v2")
    assert done("index-served", "index", "rollback")["version"] == 1
    assert done("index-served", "index", "swap", "v2")["before"] == 1
    done("index-rm", "index", "rm", "v1", "--yes")
    validate("collection-rm", json.loads(sample.msmctl("collection", "rm", unique, "--yes", "--json")))
    done("index-rm", "index", "rm", "v2", "--yes")


def test_imports_have_the_documented_shape(sample: Sample) -> None:
    def done(schema: str, *words: str) -> None:
        validate(schema, json.loads(sample.msmctl(*words, "--collection", sample.name, "--json")))

    pids = [line.split("\t")[0] for line in (sample.folder / "passages.tsv").read_text().splitlines()]
    qid = (sample.folder / "queries.test.tsv").read_text().split("\t")[0]
    (sample.folder / "scores.pkl").write_bytes(pickle.dumps({qid: dict.fromkeys(pids, 0.5)}))
    (sample.folder / "theirs.tsv").write_text("".join(f"{qid}\t{pid}\t{n}\n" for n, pid in enumerate(pids)))
    (sample.folder / "theirs.jsonl").write_text(
        json.dumps({"qid": qid, "pos": [], "neg": {"json-shapes": pids[:3]}}) + "\n"
    )
    done("import-scores", "import", "scores-pickle", "scores.pkl", "--name", "json-shapes", "--dry-run")
    done("import-negatives", "import", "hard-negatives", "theirs.jsonl", "--split", "test", "--dry-run")
    done("run-import", "run", "import", "theirs.tsv", "--split", "test", "--system", "json-shapes")
    done("run-rm", "run", "rm", "json-shapes", "--split", "test", "--yes")


def test_down_has_the_documented_shape(cli: Cli, tmp_path: Path) -> None:
    answer = cli("down", "--json", home=tmp_path)
    validate("down", json.loads(answer.stdout))
    assert json.loads(answer.stdout) == {"stopped": False}


def test_a_conversion_has_the_documented_shape(sample: Sample) -> None:
    import torch

    (sample.folder / "old-model").mkdir()
    torch.save({"weight": torch.zeros(2)}, sample.folder / "old-model" / "pytorch_model.bin")
    printed = sample.msmctl("systems", "convert", "old-model", "-o", "safe-model", "--json")
    validate("systems-convert", json.loads(printed))


def test_an_error_has_the_documented_shape(sample: Sample) -> None:
    done = sample.run("collection", "show", "no-such-collection", "--json")
    assert done.code == 7
    assert done.stdout == ""
    validate("error", json.loads(done.stderr))


def test_every_schema_is_valid_documented_and_checked() -> None:
    page = (ROOT / "docs" / "json.md").read_text("utf-8")
    names = {path.stem for path in SCHEMAS.glob("*.json")}
    assert names == set(re.findall(r"\(schemas/([a-z-]+)\.json\)", page))
    tests = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert names == set(re.findall(r'"([a-z-]+)"', tests)) & names, "a schema that no test checks"
    for name in names:
        Draft202012Validator.check_schema(json.loads((SCHEMAS / f"{name}.json").read_text("utf-8")))
