"""`OUT.manifest.json` of a reranked run: what it was made from, and that it is no retrieval."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from services.exports.manifest import manifest_bytes, manifest_path
from services.store.fingerprint import file_sha256, fingerprint


class RerankInputs(BaseModel):
    """All that the bytes of a reranked run depend on.

    Attributes:
        run_sha256: Of the given file.
        by: Name of the cross-encoder or system, and which of the two it is.
        fingerprint: Of its model, and of how it is run.
        vectors: Where a bi-encoder's vectors come from.
        depth: Passages per query that were reranked; None: all.
        collection_fingerprint: Of the state that gave the texts; None: the file brought them.
    """

    model_config = ConfigDict(extra="forbid")

    run: str
    run_sha256: str
    by: str
    noun: Literal["cross-encoder", "system"]
    fingerprint: str
    vectors: Literal["stored", "computed"] | None
    depth: int | None
    collection: str | None
    collection_fingerprint: str | None
    on_error: Literal["fail", "skip"]
    compression: str
    software: str

    @property
    def hash(self) -> str:
        """Of all that counts: the given file's name does not."""
        return fingerprint(self.model_dump(mode="json", exclude={"run"}))


class RerankManifest(BaseModel):
    """The manifest. `passages` counts all of them, `reranked` those that were given to the model."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = 1
    kind: Literal["reranking"] = "reranking"
    file: str
    bytes: int
    sha256: str
    queries: int
    passages: int
    reranked: int
    inputs: RerankInputs


def read_manifest(file: Path) -> RerankManifest | None:
    """The manifest beside a run; None where there is none that is ours."""
    try:
        return RerankManifest.model_validate_json(manifest_bytes(manifest_path(file)))
    except (OSError, ValidationError):
        return None


def is_whole(file: Path, manifest: RerankManifest) -> bool:
    """Whether the file is there as it was written."""
    return file.is_file() and file.stat().st_size == manifest.bytes and file_sha256(file) == manifest.sha256


def is_reranked(file: Path) -> bool:
    """Whether a run was made by `msmctl rerank`, as the manifest beside it says of exactly these bytes."""
    manifest = read_manifest(file)
    return manifest is not None and is_whole(file, manifest)
