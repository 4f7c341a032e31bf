"""Elasticsearch's program files: fetched through Maven, or an unpacked full one (ES_HOME).

The fetched distribution is the genuine server without the optional modules; the analysis plugin is built
into our unpacked copy, which nothing changes afterwards and all MSM_HOMEs share.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.errors import InputError, MsmError
from services.stack import jdk, packages, plugin
from services.stack.layout import SHARED, cache_dir, closed_parent, elastic_uid

VERSION = "9.5.4"
SHA256 = "d9b0c28e08e499f6510b52ad66ec4bf9cdceab97cc28b3456989b8744b896934"
ARTIFACT = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{VERSION}:zip"


@dataclass(frozen=True)
class Distribution:
    """Program files and the Java that runs them (None: the distribution brings its own)."""

    home: Path
    java: Path | None

    @property
    def full(self) -> bool:
        """Whether it has the optional modules, `english` among them."""
        return (self.home / "modules" / "analysis-common").is_dir()


def locate(uid: int | None) -> Distribution:
    """Elasticsearch for the local stack: ES_HOME if set, else fetched and unpacked once.

    Raises:
        InputError: ES_HOME is no full Elasticsearch, or closed to the user that shall run it.
        MsmError: no JDK, no Maven, or the download failed.
    """
    if given := os.environ.get("ES_HOME"):
        return _given(Path(given).absolute(), uid)
    java = jdk.find(uid)
    cache = cache_dir()
    shelf = (SHARED / "cache") if closed_parent(cache, uid) else cache
    shelf.mkdir(parents=True, exist_ok=True)
    home = shelf / f"elasticsearch-{VERSION}-{plugin.fingerprint(VERSION)}"
    with _locked(shelf / ".elasticsearch.lock"):
        if not home.is_dir():
            _unpack(_fetch(cache), home, java)
    return Distribution(home, java)


def _given(home: Path, uid: int | None) -> Distribution:
    if not (home / "bin" / "elasticsearch").is_file():
        raise InputError(
            f"ES_HOME={home} holds no bin/elasticsearch", hint="point it at an unpacked Elasticsearch 9"
        )
    if not Distribution(home, None).full:
        raise InputError(
            f"ES_HOME={home} is not a full distribution: it lacks modules/analysis-common",
            hint="unset ES_HOME, and one will be fetched and completed",
        )
    if closed := closed_parent(home, uid):
        raise InputError(
            f"ES_HOME={home}: {closed} is closed to user {uid}, which runs Elasticsearch when we are root",
            hint=f"chmod o+x {closed}, or move the distribution to /opt",
        )
    return Distribution(home, None if (home / "jdk").is_dir() else jdk.find(uid))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _fetch(cache: Path) -> Path:
    """The verified zip, from the cache or through Maven."""
    archive = cache / f"elasticsearch-{VERSION}.zip"
    if archive.is_file() and _sha256(archive) == SHA256:
        return archive
    cache.mkdir(parents=True, exist_ok=True)
    print(f"fetching Elasticsearch {VERSION} (130 MB) through Maven", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        done = subprocess.run(
            [
                _maven(),
                "-q",
                "-B",
                "dependency:copy",
                f"-Dartifact={ARTIFACT}",
                f"-DoutputDirectory={folder}",
                "-Dmdep.useBaseVersion=true",
            ],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        fetched = Path(folder) / archive.name
        if done.returncode != 0 or not fetched.is_file():
            tail = "\n".join(done.stdout.strip().splitlines()[-8:])
            raise MsmError(
                f"Maven could not fetch {ARTIFACT}:\n{tail}",
                hint="check ~/.m2/settings.xml (mirror, proxy), or set ES_HOME or MSM_ES_URL",
            )
        if (found := _sha256(fetched)) != SHA256:
            raise MsmError(
                f"{ARTIFACT} has sha256 {found}, expected {SHA256}",
                hint="the repository or a proxy delivers another file: remove it from ~/.m2 and try again",
            )
        fetched.replace(archive)
    return archive


def _maven() -> str:
    found = shutil.which("mvn")
    if found is None and packages.install(["maven"]):
        found = shutil.which("mvn")
    if found is None:
        raise MsmError(
            "Elasticsearch is fetched through Maven, and there is no `mvn` on PATH",
            hint=f"{packages.command(['maven'], 'maven')}, or set ES_HOME or MSM_ES_URL",
        )
    return found


def _unpack(archive: Path, home: Path, java: Path) -> None:
    """Unpack, add the plugin, open it for reading, and only then give it its name."""
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        with zipfile.ZipFile(archive) as source:
            source.extractall(folder)
        tree = Path(folder) / f"elasticsearch-{VERSION}"
        plugin.build(tree, VERSION, java)
        for path in [tree, *tree.rglob("*")]:
            runnable = path.is_dir() or path.parent.name == "bin" or path.name == "server-launcher"
            path.chmod(0o755 if runnable else 0o644)
        tree.rename(home)


def main() -> None:
    """`make setup`: fetch and build ahead, unless a cluster is given (MSM_ES_URL)."""
    if not os.environ.get("MSM_ES_URL"):
        print(f"Elasticsearch: {locate(elastic_uid()).home}", file=sys.stderr)


if __name__ == "__main__":
    main()
