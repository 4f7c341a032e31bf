"""Missing tools: installed where we are root and the distribution offers them, else named with a command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.stack import packages

POLICY = """
maven:
  Installed: (none)
  Candidate: 3.8.7-1
openjdk-25-jdk-headless:
  Installed: (none)
  Candidate: (none)
openjdk-21-jdk-headless:
  Installed: (none)
  Candidate: 21.0.2
"""


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt of the test's own, on PATH: prints POLICY, writes down what it is told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "policy").write_text(POLICY)
    for name, line in (("apt-cache", f"cat {tmp_path}/policy"), ("apt-get", f'echo "$@" >> {tmp_path}/told')):
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path / "told"


def test_the_first_that_is_offered_is_installed_by_root(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    chosen = packages.install(["openjdk-25-jdk-headless", "openjdk-21-jdk-headless"])
    assert chosen == "openjdk-21-jdk-headless"
    assert apt.read_text().split()[-1] == chosen


def test_nothing_is_installed_by_others(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert packages.install(["maven"]) is None
    assert not apt.exists()


def test_lists_are_fetched_when_nothing_is_offered(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert packages.install(["unheard-of"]) is None
    assert "update" in apt.read_text()


def test_the_command_names_what_is_offered(apt: Path) -> None:
    assert "apt-get install openjdk-21-jdk-headless" in packages.command(
        ["openjdk-25-jdk-headless", "openjdk-21-jdk-headless"], "openjdk-25-jdk-headless"
    )


def test_without_apt_the_command_names_the_usual_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "maven" in packages.command(["maven"], "maven")
