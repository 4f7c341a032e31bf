"""Which Java is taken: a full JDK >= 21, in the documented order; older ones are passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.errors import MsmError
from services.stack import jdk, packages

FULL = "java.base jdk.compiler jdk.jdi"


def make_jdk(home: Path, version: str, *, compiler: bool = True, modules: str = FULL) -> Path:
    (home / "bin").mkdir(parents=True)
    for tool in ("java", "javac") if compiler else ("java",):
        (home / "bin" / tool).write_text("#!/bin/sh\nexit 1\n")
        (home / "bin" / tool).chmod(0o755)
    (home / "release").write_text(f'JAVA_VERSION="{version}"\nMODULES="{modules}"\n')
    return home


@pytest.fixture(autouse=True)
def no_package_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "install", lambda names: None)
    monkeypatch.setattr(packages, "offered", lambda names: None)


def test_the_order_is_es_java_home_java_home_path_usr_lib_jvm(tmp_path: Path) -> None:
    root = tmp_path / "jvm"
    homes = [make_jdk(tmp_path / name, "25.0.1") for name in ("a", "b", "c")]
    homes.append(make_jdk(root / "temurin-25", "25.0.1"))
    environ = {"ES_JAVA_HOME": str(homes[0]), "JAVA_HOME": str(homes[1]), "PATH": str(homes[2] / "bin")}
    for name, home in zip(("ES_JAVA_HOME", "JAVA_HOME", "PATH", ""), homes, strict=True):
        assert jdk.find(environ=environ, root=root) == home
        environ.pop(name, None)


def test_an_older_one_on_path_is_passed_over(tmp_path: Path) -> None:
    old = make_jdk(tmp_path / "old", "17.0.9")
    new = make_jdk(tmp_path / "jvm" / "new", "21.0.2")
    assert jdk.find(environ={"PATH": str(old / "bin")}, root=tmp_path / "jvm") == new


def test_the_newest_below_usr_lib_jvm_is_taken(tmp_path: Path) -> None:
    make_jdk(tmp_path / "jvm" / "z-21", "21.0.2")
    newest = make_jdk(tmp_path / "jvm" / "a-25", "25")
    assert jdk.find(environ={}, root=tmp_path / "jvm") == newest


@pytest.mark.parametrize(
    ("version", "compiler", "modules", "reason"),
    [
        ("1.8.0_392", True, FULL, "version 8"),
        ("17.0.9", True, FULL, "version 17"),
        ("25.0.1", False, FULL, "javac"),
        ("25.0.1", True, "java.base jdk.compiler", "jdk.jdi"),
    ],
)
def test_what_does_not_do_is_named_with_its_reason_and_the_command_to_type(
    tmp_path: Path, version: str, compiler: bool, modules: str, reason: str
) -> None:
    home = make_jdk(tmp_path / "java", version, compiler=compiler, modules=modules)
    with pytest.raises(MsmError) as caught:
        jdk.find(environ={"JAVA_HOME": str(home)}, root=tmp_path / "none")
    assert str(home) in caught.value.message
    assert reason in caught.value.message
    assert "apt-get install openjdk" in str(caught.value.hint)
    assert "MSM_ES_URL" in str(caught.value.hint)


def test_a_folder_without_java_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert jdk.unfit(tmp_path / "empty") == "no bin/java"


def test_a_jdk_that_the_unprivileged_user_cannot_reach_is_passed_over(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    home = make_jdk(closed / "jdk", "25.0.1")
    closed.chmod(0o700)
    assert str(closed) in str(jdk.unfit(home, uid=64738)) or "closed to the user" in str(
        jdk.unfit(home, 64738)
    )
