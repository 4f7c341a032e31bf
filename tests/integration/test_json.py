"""The JSON that commands print has the documented shape (docs/json.md, docs/schemas)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.conftest import ROOT
from tests.integration.conftest import MODEL, Sample

SCHEMAS = ROOT / "docs" / "schemas"

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
    "systems-list": ["systems ls"],
    "system": [f"systems show {MODEL}", "systems show bm25"],
    "systems-pull": [f"systems pull {MODEL}"],
    "systems-verify": [f"systems verify {MODEL}", f"systems verify {MODEL} --collection {{c}}"],
    "jobs-plan": [f"mine --collection {{c}} --system bm25,{MODEL} --depth 7 --dry-run"],
    "jobs-outcome": [
        f"mine --collection {{c}} --system bm25,{MODEL} --depth 5",
        f"encode --collection {{c}} --system {MODEL}",
        f"index build --collection {{c}} --system {MODEL}",
    ],
    "index-list": ["index ls --collection {c}", "index ls"],
    "index-show": ["index show --collection {c}"],
    "index-verify": ["index verify --collection {c}"],
    "export": ["export hard-negatives --collection {c} -o shape.jsonl.gz --force"],
    "verify": ["verify shape.jsonl.gz --collection {c}"],
    "evaluate": [
        "evaluate --collection {c} --system bm25",
        f"evaluate --collection {{c}} --system bm25,{MODEL},hybrid",
    ],
    "search": [
        "search steam --collection {c} --explain",
        "search steam --collection {c} --mode bm25",
        "search qqqq --collection {c} --mode bm25",
    ],
    "jobs-list": ["jobs ls"],
    "config": ["config show", "config show --origin"],
}  # fmt: skip


def validate(name: str, value: Any) -> None:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text("utf-8"))
    problems = [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(value)
    ]
    assert not problems, f"{name}: {problems[:5]}"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_output_is_one_json_value_of_the_documented_shape(sample: Sample, name: str) -> None:
    for command in COMMANDS[name]:
        validate(name, json.loads(sample.msmctl(*command.format(c=sample.name).split(), "--json")))


def test_a_job_has_the_documented_shape(sample: Sample) -> None:
    jobs = json.loads(sample.msmctl("jobs", "ls", "--json"))
    validate("job", json.loads(sample.msmctl("jobs", "show", jobs[0]["job"], "--json")))


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
    assert names == {*COMMANDS, "systems-convert", "job", "error"}
    for name in names:
        Draft202012Validator.check_schema(json.loads((SCHEMAS / f"{name}.json").read_text("utf-8")))
