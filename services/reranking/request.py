"""What shall be reranked, by what, and where to."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version as software_version
from pathlib import Path

from services.collections.collection import Collection
from services.errors import Conflict
from services.exports.target import require_target
from services.exports.writer import compression_of
from services.imports.rejects import OnError
from services.reranking.given import GivenFile
from services.reranking.manifest import RerankInputs, RerankManifest, is_whole, read_manifest
from services.reranking.rerankers import Reranker
from services.store.fingerprint import file_sha256


@dataclass(frozen=True)
class RerankRequest:
    """What to rerank.

    Attributes:
        file: The given run.
        reranker: By what.
        out: Where to; `.gz` and `.zst` are compressed.
        collection: Gives the texts; None: the file brings them.
        depth: Passages per query to rerank; None: all.
        on_error: What to do about what is unknown or cannot be scored: `skip` keeps it below all else.
        force: Write even if fresh, and over a file that is none of ours.
    """

    file: GivenFile
    reranker: Reranker
    out: Path
    collection: Collection | None = None
    depth: int | None = None
    on_error: OnError = "fail"
    force: bool = False

    @property
    def inputs(self) -> RerankInputs:
        """What the bytes depend on. Reads the given file."""
        reranker, collection = self.reranker, self.collection
        return RerankInputs(
            run=self.file.path.name,
            run_sha256=file_sha256(self.file.path),
            by=reranker.name,
            noun=reranker.noun,
            fingerprint=reranker.fingerprint,
            vectors=reranker.vectors,
            depth=self.depth,
            collection=None if collection is None else collection.name,
            collection_fingerprint=None if collection is None else collection.state.fingerprint,
            on_error=self.on_error,
            compression=compression_of(self.out.name),
            software=software_version("msmctl"),
        )


def check_place(request: RerankRequest) -> None:
    """Refuse a place where the run cannot be written, before any work is done.

    Raises:
        InputError: as `require_target`.
        Conflict: a file that is none of ours, or none any more, is there, or it is the given one.
    """
    out = request.out
    require_target(out)
    if out.exists() and out.samefile(request.file.path):
        raise Conflict(f"{out}: is the run that is to be reranked", hint="choose another -o")
    if not out.exists() or request.force:
        return
    manifest, hint = read_manifest(out), "choose another name, or overwrite it with --force"
    if manifest is None:
        raise Conflict(f"{out}: exists, and was not made by `msmctl rerank`", hint=hint)
    # Killed between manifest and file, the new one lies beside the old one.
    if not any(is_whole(one, manifest) for one in (out, partial_of(out))):
        raise Conflict(f"{out}: has changed since `msmctl rerank` made it", hint=hint)


def partial_of(out: Path) -> Path:
    """Where a run lies until it is whole."""
    return out.with_name(f".{out.name}.partial")


def fresh(request: RerankRequest, inputs: RerankInputs) -> RerankManifest | None:
    """The manifest of what is there already, unharmed and from the same inputs."""
    manifest = read_manifest(request.out)
    if request.force or manifest is None or manifest.inputs.hash != inputs.hash:
        return None
    return manifest if is_whole(request.out, manifest) else None
