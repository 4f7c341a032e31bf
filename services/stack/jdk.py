"""Find a JDK that Elasticsearch 9 and the plugin's compiler accept."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from services.errors import MsmError
from services.stack import packages
from services.stack.layout import closed_parent

MINIMUM = 21
PACKAGES = tuple(f"openjdk-{version}-jdk-headless" for version in (25, 24, 23, 22, 21))
ROOT = Path("/usr/lib/jvm")


def candidates(environ: Mapping[str, str], root: Path = ROOT) -> Iterator[Path]:
    """Places to look, in turn: ES_JAVA_HOME, JAVA_HOME, PATH, /usr/lib/jvm (newest first)."""
    for name in ("ES_JAVA_HOME", "JAVA_HOME"):
        if environ.get(name):
            yield Path(environ[name])
    for tool in ("javac", "java"):
        if found := shutil.which(tool, path=environ.get("PATH", "")):
            yield Path(found).resolve().parents[1]
    if root.is_dir():
        yield from sorted((path for path in root.iterdir() if path.is_dir()), key=_version, reverse=True)


def _release(home: Path) -> dict[str, str]:
    try:
        text = (home / "release").read_text("utf-8", errors="replace")
    except OSError:
        return {}
    return dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, flags=re.MULTILINE))


def _ask(home: Path, *arguments: str) -> str:
    try:
        done = subprocess.run([home / "bin" / "java", *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def _version(home: Path) -> int:
    """The feature version (21, 25, …), 0 for no Java; from the `release` file, else `java -version`."""
    found = _release(home).get("JAVA_VERSION")
    if found is None:
        match = re.search(r'version "([^"]+)"', _ask(home, "-version"))
        found = match.group(1) if match else ""
    numbers = re.findall(r"\d+", found) or ["0"]
    return int(numbers[1] if numbers[0] == "1" and len(numbers) > 1 else numbers[0])


def unfit(home: Path, uid: int | None = None) -> str | None:
    """Why this is not a full JDK >= 21 that `uid` can run, or None.

    The entitlement library of Elasticsearch needs the module jdk.jdi, the plugin a compiler.
    """
    if not (home / "bin" / "java").is_file():
        return "no bin/java"
    if (version := _version(home)) < MINIMUM:
        return f"version {version}, needed is {MINIMUM} or newer"
    if not (home / "bin" / "javac").is_file():
        return "a runtime without javac"
    modules = _release(home).get("MODULES") or _ask(home, "--list-modules")
    if "jdk.jdi" not in modules:
        return "no module jdk.jdi"
    if closed := closed_parent(home, uid):
        return f"{closed} is closed to the user that runs Elasticsearch"
    return None


def find(uid: int | None = None, environ: Mapping[str, str] = os.environ, root: Path = ROOT) -> Path:
    """The first fit JDK; installed from the distribution if there is none, we are root and it offers one.

    Raises:
        MsmError: none found and none could be installed; the message lists what was passed over.
    """
    passed: dict[Path, str] = {}
    for home in candidates(environ, root):
        if home not in passed:
            reason = unfit(home, uid)
            if reason is None:
                return home
            passed[home] = reason
    if packages.install(PACKAGES):
        for home in candidates({}, root):
            if unfit(home, uid) is None:
                return home
    seen = "; ".join(f"{home}: {reason}" for home, reason in passed.items()) or "no Java at all"
    raise MsmError(
        f"Elasticsearch needs a JDK {MINIMUM} or newer ({seen})",
        hint=f"{packages.command(PACKAGES, 'openjdk-21-jdk-headless')}, or point ES_JAVA_HOME at a JDK, "
        "ES_HOME at an unpacked full Elasticsearch (it brings its own), or MSM_ES_URL at a cluster",
    )
