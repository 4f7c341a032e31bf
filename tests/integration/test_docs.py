"""The pages: they are there, they are linked, and what they tell to type works.

In a ```console block a line `$ msmctl …` is run, in the order of the page, on the sample collection, whose
name stands in for whatever collection the page speaks of. A command with a comment `# needs …` is not run
(it needs what this machine lacks); one with `# exit code N` must end with that code.
"""

from __future__ import annotations

import json
import os
import re
import shlex

import pytest

from tests.conftest import ROOT
from tests.docs_kit import DOCS, commands
from tests.integration.conftest import Sample

OWN_TEST = {  # pages whose commands bring their own files
    "collections.md": "tests/unit/test_collection_docs.py",
    "systems.md": "tests/unit/test_systems_docs.py",
    "score.md": "tests/integration/test_score.py",
    "import.md": "tests/unit/test_import_docs.py",
    "api.md": "tests/integration/test_api.py",
    "negatives.md": "tests/integration/test_negatives_docs.py",
}
PAGES = sorted(path.name for path in DOCS.glob("*.md") if path.name not in OWN_TEST)
MADE = {"ce-small", "minilm-small"}
"""Models that pages train: a stack that outlives the run has those of earlier runs."""
_JOB = re.compile(r"\b(encode|index|mine)-\d{8}-\d{6}-[0-9a-f]+\b")


def prepared(command: str, sample: Sample) -> tuple[list[str], int] | None:
    """A page's command as it is run here, and the exit code that it must have; None: not run here."""
    text, _, comment = command.partition("  # ") if "  # " in command else command.partition(" # ")
    if (
        comment.startswith("needs ")
        or not text.startswith("msmctl ")
        or text.startswith(("msmctl down", "msmctl up"))
    ):
        return None
    words = [f"{word}-{os.getpid()}" if word in MADE else word for word in shlex.split(text)]
    for option in ("--collection", "-c"):
        if option in words:
            words[words.index(option) + 1] = sample.name
    words = [f"msm-{sample.name}" if word == "msm-squad" else word for word in words]
    if words[1] == "collection":
        words = [sample.name if word == "squad" else word for word in words]
    if any(map(_JOB.search, words)):
        kind = next(match[1] for match in map(_JOB.search, words) if match)
        jobs = json.loads(sample.msmctl("jobs", "ls", "--json"))
        job = next(job["job"] for job in jobs if job["kind"] == kind)
        words = [_JOB.sub(job, word) for word in words]
    code = re.match(r"exit code (\d+)", comment)
    return words[1:], int(code[1]) if code else 0


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_the_page_work(page: str, sample: Sample) -> None:
    sample.msmctl("collection", "use", sample.name)
    for command in commands(DOCS / page):
        run = prepared(command, sample)
        if run is not None:
            arguments, code = run
            done = sample.run(*arguments)
            assert done.code == code, f"{page}: $ {command}\n{done.stdout}\n{done.stderr}"


def test_every_page_is_linked_from_the_index_of_pages() -> None:
    linked = set(re.findall(r"\(([a-z-]+\.md)\)", (DOCS / "README.md").read_text("utf-8")))
    assert linked == {path.name for path in DOCS.glob("*.md")} - {"README.md"}


@pytest.mark.parametrize(
    "page", ["README.md", "CHANGELOG.md", *(f"docs/{path.name}" for path in sorted(DOCS.glob("*.md")))]
)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert target.startswith("https://") or (ROOT / page).parent.joinpath(target).exists(), (
            f"{page}: {target}"
        )


def test_every_dependency_has_a_line() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    listed = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    names = {re.split(r"[\[><=; ]", requirement)[0] for requirement in listed} - {"msmctl"}
    page = (DOCS / "dependencies.md").read_text("utf-8")
    described = {name for row in re.findall(r"^\| ([\w, \[\]-]+?) (?:\([A-Z]\w+\) )?\|", page, re.MULTILINE)
                 for name in re.sub(r"\[\w+\]", "", row).split(", ")}  # fmt: skip
    assert names <= described, names - described
