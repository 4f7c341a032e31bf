"""What the last step of `refresh` would refuse is refused before the first one runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import root
from services.errors import InputError, MsmError, NotFound, UsageError
from tests.unit.export_kit import small
from tests.unit.tiny_ce import tiny_ce


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        (["--filter", "ce-margn=3"], UsageError, "ce-margn"),
        (["--filter", "ce-margin=3"], NotFound, "no scores"),
        (["--format", "margin-mse"], NotFound, "no scores"),
        (["--format", "triplet-hard"], NotFound, "no scores"),
        (["--ce", "no-such-ce"], NotFound, "no-such-ce"),
        (["-o", "nowhere/n.jsonl"], InputError, "nowhere"),
        (["--top", "5"], UsageError, "--top says what is scored"),
        (["--queries", "5"], UsageError, "--queries says what is scored"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_nothing_runs_for_what_could_not_be_exported(
    tmp_path: Path, given: list[str], error: type[MsmError], told: str, dry: list[str]
) -> None:
    small(tmp_path, scored=False)
    asked = ["--home", str(tmp_path), "refresh", "--collection", "small", "--system", "bm25", *given, *dry]
    done = CliRunner().invoke(root, asked)
    assert isinstance(done.exception, error)
    assert told in done.exception.message


@pytest.mark.parametrize("given", [["--format", "triplet-hard"], ["--filter", "ce-margin"]])
def test_nothing_runs_for_a_margin_that_nobody_knows(tmp_path: Path, given: list[str]) -> None:
    small(tmp_path, scored=False)
    folder, home = tiny_ce(tmp_path / "ce", "bert"), ["--home", str(tmp_path)]
    made = CliRunner().invoke(root, [*home, "ce", "add", "own", "--model", str(folder)])
    assert made.exit_code == 0, made.output
    asked = ["refresh", "--collection", "small", "--system", "bm25", "--ce", "own", *given, "--dry-run"]
    done = CliRunner().invoke(root, [*home, *asked])
    assert isinstance(done.exception, UsageError)
    assert "has no margin of its own" in done.exception.message
