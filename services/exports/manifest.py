"""`FILE.manifest.json`: what an export was made from, its files and their checksums."""

from __future__ import annotations

from importlib.metadata import version as software_version
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from services.exports.format import Options, Reading
from services.store.fingerprint import file_sha256, fingerprint

_LARGEST = 64 << 20
"""Bytes of a manifest; that of a hundred thousand shards has a fifth."""


class ExportInputs(BaseModel):
    """All that the bytes of an export depend on.

    Attributes:
        options: Of the format.
        collection_fingerprint: Of the state whose texts, judgements and tombstones were applied.
        split: Split of the queries; None: all queries.
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
    options: dict[str, Any] = {}
    collection: str
    collection_version: int
    collection_fingerprint: str
    split: str | None = None
    all_queries: bool = False
    systems: dict[str, dict[str, Any]] = {}
    exclusion: dict[str, Any] = {}
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


def _inside(name: str) -> str:
    """A name below the manifest's folder: what a manifest names is read, replaced and removed."""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or "\0" in name or "/".join(parts) != name:
        raise ValueError("leads out of the folder")
    return name


class ExportedFile(BaseModel):
    """A file of an export; `name` is its place beside the manifest, never outside of its folder."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, AfterValidator(_inside)]
    bytes: int
    sha256: str
    rows: int

    def is_at(self, path: Path, *, thorough: bool = True) -> bool:
        """Whether it is there, unharmed; where not `thorough`, only the size is looked at."""
        return (
            path.is_file()
            and path.stat().st_size == self.bytes
            and (not thorough or file_sha256(path) == self.sha256)
        )


class ExportManifest(BaseModel):
    """The manifest of an export.

    Attributes:
        file: Name of the file; where there are several, of the folder that they lie in.
        bytes: Of all files.
        sha256: Of the file; of several, the hash of their hashes.
        rows, queries, negatives, left_out: As `services.exports.format.Counts` has them.
        files: All of them.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: int = 1
    file: str
    bytes: int
    sha256: str
    rows: int
    queries: int
    negatives: int
    left_out: int
    files: Annotated[list[ExportedFile], Field(min_length=1)]
    inputs: ExportInputs


def inputs_of(format_name: str, options: Options, reading: Reading, *, compression: str) -> ExportInputs:
    """The inputs of an export."""
    state = reading.collection.state
    return ExportInputs(
        format=format_name,
        options=dict(options),
        collection=state.name,
        collection_version=state.version,
        collection_fingerprint=state.fingerprint,
        split=reading.split,
        **reading.described,
        compression=compression,
        software=software_version("msmctl"),
    )


def manifest_path(file: Path) -> Path:
    """Where the manifest of a file lies."""
    return file.with_name(f"{file.name}.manifest.json")


def read_manifest(path: Path) -> ExportManifest | None:
    """The manifest of that path; None where there is none that is ours and can be read."""
    try:
        return ExportManifest.model_validate_json(manifest_bytes(path))
    except (OSError, ValidationError):
        return None


def manifest_bytes(path: Path) -> bytes:
    """What lies where a manifest would; OSError for what is none: a folder, a pipe, a giant."""
    if not path.is_file() or path.stat().st_size > _LARGEST:
        raise OSError(f"{path}: is no manifest")
    return path.read_bytes()


def is_whole(manifest: ExportManifest, folder: Path, *, thorough: bool = True) -> bool:
    """Whether all files of an export are there, unharmed.

    Args:
        manifest: What should be there.
        folder: Where the manifest lies.
        thorough: Read them; else only their sizes are looked at.
    """
    return all(file.is_at(folder / file.name, thorough=thorough) for file in manifest.files)
