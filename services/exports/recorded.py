"""What manifests say of files that lie there: are they still what was written?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from services.exports.manifest import manifest_path, read_manifest
from services.exports.registry import FORMATS
from services.reranking import manifest as reranking
from services.store.fingerprint import file_sha256

_ENDING = ".manifest.json"


class Recorded(NamedTuple):
    """A file as its manifest has it; `sha256` is None where the manifest of that path is damaged."""

    path: Path
    bytes: int = 0
    sha256: str | None = None


def changed_files(place: Path) -> Iterator[tuple[Path, str]]:
    """Files that differ from their manifests, each with how; those that no manifest names are nobody's.

    Args:
        place: A file, or a folder: what lies in it counts.
    """
    for one in _recorded(place.absolute()):
        if one.sha256 is None:
            yield one.path, "its manifest is damaged, so that nothing vouches for it"
        elif not one.path.is_file():
            yield one.path, "its manifest names it, and it is not there"
        elif (size := one.path.stat().st_size) != one.bytes:
            yield one.path, f"{size:,} bytes instead of the {one.bytes:,} of its manifest"
        elif file_sha256(one.path) != one.sha256:
            yield one.path, "its sha256 is not that of its manifest"


def declared_format(file: Path) -> str | None:
    """The format of an export that a file is of by itself, as the manifest beside it says."""
    manifest = read_manifest(manifest_path(file))
    return manifest.inputs.format if manifest else None


def _recorded(place: Path) -> Iterator[Recorded]:
    """What is recorded of a place, in it, beside it or (of a subset's shard) a folder above."""
    folders = [place, place.parent] if place.is_dir() else [place.parent, place.parent.parent]
    for folder in folders:
        for path in sorted(folder.glob(f"*{_ENDING}")):
            yield from (one for one in _of(path) if _concerns(one, place))


def _concerns(one: Recorded, place: Path) -> bool:
    """Whether it is of what lies in the place; a damaged manifest may be of any folder beside it."""
    beside = one.sha256 is None and one.path.name.endswith(_ENDING)
    return one.path.is_relative_to(place) or (beside and (place.is_dir() or place.parent != one.path.parent))


def _of(path: Path) -> list[Recorded]:
    export = read_manifest(path)
    if export is not None:
        return [Recorded(path.parent / one.name, one.bytes, one.sha256) for one in export.files]
    file = path.with_name(path.name.removesuffix(_ENDING))
    run = reranking.read_manifest(file)
    if run is not None:
        return [Recorded(file, run.bytes, run.sha256)]
    # Manifests of others may lie there too, such as a web page's: ours stand beside a file or for a subset.
    if path.is_file() and (file.is_file() or file.name.partition(".")[0] in FORMATS):
        return [Recorded(file if file.is_file() else path)]
    return []
