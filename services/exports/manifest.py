"""`FILE.manifest.json`: what an exported file was made from, and its checksum."""

from __future__ import annotations

from importlib.metadata import version as software_version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from services.collections.collection import Collection
from services.mining.exclusion import rule
from services.negatives.mined import SystemRun
from services.negatives.opening import Opened
from services.store.fingerprint import file_sha256, fingerprint


class ExportInputs(BaseModel):
    """All that the file's bytes depend on.

    Attributes:
        collection_fingerprint: Of the state whose texts, judgements and tombstones were applied.
        systems: Per system: its key in the file, depth, run and model fingerprints, engine, device or
            index, and whether the collection has changed since it was mined (`stale`).
        all_queries: Also queries without a positive, with `pos: []`: where all runs have them.
        exclusion: The rule that leaves candidates out.
        filters: Filters and sampling applied on top, in order.
        ce: Name of the cross-encoder whose scores were read, its fingerprint, and that of the scores.
        relabel: Score from which a candidate became a positive.
        marks: Fingerprint of people's marks; None where there are none, `ignored` where they do not count.
    """

    model_config = ConfigDict(extra="forbid")

    format: str
    collection: str
    collection_version: int
    collection_fingerprint: str
    split: str
    all_queries: bool
    systems: dict[str, dict[str, Any]]
    exclusion: dict[str, Any]
    filters: list[str] = []
    ce: dict[str, str] | None = None
    relabel: float | None = None
    marks: str | None = None
    compression: str
    software: str

    @property
    def fingerprint(self) -> str:
        """Hash of all inputs."""
        return fingerprint(self.model_dump(mode="json"))


class ExportManifest(BaseModel):
    """The manifest beside a file: its name, size, checksum, queries and inputs."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = 1
    file: str
    bytes: int
    sha256: str
    queries: int
    negatives: int
    inputs: ExportInputs


def inputs_of(format_name: str, opened: Opened, *, compression: str) -> ExportInputs:
    """The inputs of an export of these candidates."""
    collection = opened.candidates.collection
    state = collection.state
    return ExportInputs(
        format=format_name,
        collection=state.name,
        collection_version=state.version,
        collection_fingerprint=state.fingerprint,
        split=opened.candidates.split,
        all_queries=opened.all_queries,
        systems={chosen.system.name: _described(chosen, collection) for chosen in opened.runs},
        exclusion=rule(),
        **opened.described,
        compression=compression,
        software=software_version("msmctl"),
    )


def _described(chosen: SystemRun, collection: Collection) -> dict[str, Any]:
    manifest = chosen.run.manifest
    return {
        "key": chosen.system.reference_key,
        "depth": chosen.depth,
        "run": fingerprint(manifest.model_dump(mode="json")),
        "fingerprint": manifest.inputs.system_fingerprint,
        "engine": manifest.inputs.engine,
        "mined_version": manifest.inputs.collection_version,
        "stale": chosen.is_stale(collection),
        **manifest.facts,
    }


def manifest_path(file: Path) -> Path:
    """Where the manifest of a file lies."""
    return file.with_name(f"{file.name}.manifest.json")


def read_manifest(file: Path) -> ExportManifest | None:
    """The manifest beside a file; None where there is none that is ours."""
    try:
        return ExportManifest.model_validate_json(manifest_path(file).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def is_fresh(file: Path, inputs: ExportInputs) -> bool:
    """Whether the file is there, unharmed, and of the same inputs."""
    manifest = read_manifest(file)
    return (
        manifest is not None
        and manifest.inputs.fingerprint == inputs.fingerprint
        and file.is_file()
        and file.stat().st_size == manifest.bytes
        and file_sha256(file) == manifest.sha256
    )
