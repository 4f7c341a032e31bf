"""What the pages promise: the commands they tell to type, and the shapes of what those print."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from tests.conftest import ROOT

DOCS = ROOT / "docs"
SCHEMAS = DOCS / "schemas"


def commands(page: Path) -> Iterator[str]:
    """The `$ ` lines of the page's console blocks, lines ended by a backslash joined."""
    for block in re.findall(r"^```console\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                yield line.removeprefix("$ ")


def validate(name: str, value: Any) -> None:
    """See that a value has the shape that docs/schemas has under a name."""
    schema = json.loads((SCHEMAS / f"{name}.json").read_text("utf-8"))
    problems = [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(value)
    ]
    assert not problems, f"{name}: {problems[:5]}"
