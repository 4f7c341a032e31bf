"""Build the analysis plugin from es_plugin/ against a node's own jars."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import zipfile
from importlib.resources import files
from pathlib import Path
from string import Template

from services.errors import MsmError

NAME = "msmctl-english"
SOURCE = "EnglishAnalyzerFactory.java"
DESCRIPTOR = "stable-plugin-descriptor.properties"
COMPONENTS = "named_components.json"


def _text(name: str) -> str:
    return (files("es_plugin") / name).read_text("utf-8")


def fingerprint(version: str) -> str:
    """Changes with the plugin's source and with the Elasticsearch version that it is built for."""
    digest = hashlib.sha256(version.encode())
    for name in (SOURCE, DESCRIPTOR, COMPONENTS):
        digest.update(_text(name).encode())
    return digest.hexdigest()[:8]


def build(elasticsearch: Path, version: str, java: Path) -> Path:
    """Compile and install into `elasticsearch`/plugins; returns the plugin's folder.

    Raises:
        MsmError: the compiler refused the source, with its words.
    """
    target = elasticsearch / "plugins" / NAME
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / SOURCE
        source.write_text(_text(SOURCE), "utf-8")
        classes = Path(folder) / "classes"
        done = subprocess.run(
            [
                java / "bin" / "javac",
                "--release",
                "21",
                "-encoding",
                "UTF-8",
                "-d",
                classes,
                "-cp",
                f"{elasticsearch}/lib/*",
                source,
            ],
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise MsmError(
                f"the analysis plugin does not compile against Elasticsearch {version}:\n{done.stderr}",
                hint=f"the compiler was {java}/bin/javac; ES_JAVA_HOME chooses another",
            )
        with zipfile.ZipFile(target / f"{NAME}.jar", "w") as jar:
            for path in sorted(classes.rglob("*.class")):
                jar.write(path, path.relative_to(classes).as_posix())
    (target / DESCRIPTOR).write_text(
        Template(_text(DESCRIPTOR)).substitute(elasticsearch_version=version), "utf-8"
    )
    (target / COMPONENTS).write_text(_text(COMPONENTS), "utf-8")
    return target
