"""Where an export goes: a file, or a folder that several exports share. Nothing shows before it is whole.

A file is written beside its place (`.FILE.partial`) and renamed. In a folder `.<label>.partial/` takes
what is unfinished; its files are then renamed one by one, and the folder's card (README.md) lists the
subset only when all are in place. Killed in between, the same command finishes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path, PurePath
from typing import NamedTuple

from services.errors import Conflict, InputError
from services.exports import card
from services.exports.format import Output
from services.exports.manifest import (
    ExportedFile,
    ExportInputs,
    ExportManifest,
    is_whole,
    manifest_path,
    read_manifest,
)
from services.exports.shards import ShardedTable
from services.exports.target import require_folder, require_target
from services.exports.writer import BlockFile, Sink, Written, compression_of, replace


class Place(ABC):
    """A place.

    Attributes:
        path: As the user named it.
        manifest_path: Where its manifest is.
        compression: Of what goes there, for the inputs.
    """

    path: Path
    manifest_path: Path
    compression: str

    @abstractmethod
    def require_writable(self) -> None:
        """Refuse a place where nothing can be written, whatever it is.

        Raises:
            InputError: no such folder, or one that may not be written to, or a file instead of a folder.
        """

    @abstractmethod
    def check(self, outputs: Sequence[Output], inputs: ExportInputs, *, force: bool) -> None:
        """Refuse a place that cannot be written, before any work is done.

        Args:
            outputs: What will be written.
            inputs: What of.
            force: Replace what is none of our exports, has been changed since, or belongs to another one.

        Raises:
            InputError: as `require_writable`.
            Conflict: something is there that is none of our exports, or none any more, or another one's.
        """

    @abstractmethod
    def sink(self, output: Output, inputs: str) -> AbstractContextManager[Sink]:
        """The unfinished output; raises Conflict where another process has it."""

    @abstractmethod
    def publish(self, manifest: ExportManifest, files: Sequence[Written]) -> None:
        """Put manifest and files in place."""

    @abstractmethod
    def discard(self) -> None:
        """Remove what is unfinished."""

    def is_fresh(self, inputs: ExportInputs) -> bool:
        """Whether the export is there, unharmed, and of the same inputs."""
        manifest = read_manifest(self.manifest_path)
        return (
            manifest is not None
            and manifest.inputs.fingerprint == inputs.fingerprint
            and is_whole(manifest, self.manifest_path.parent)
        )


class FilePlace(Place):
    """One file; `.gz` and `.zst` are compressed."""

    def __init__(self, path: Path) -> None:
        if not path.name:
            raise InputError(f"'{path}': is a folder", hint="name a file, such as -o negatives.jsonl.gz")
        self.path = path
        self.manifest_path = manifest_path(path)
        self.compression = compression_of(path.name)
        self._partial = path.with_name(f".{path.name}.partial")
        self._progress = path.with_name(f".{path.name}.progress")

    def require_writable(self) -> None:
        """See `Place`."""
        require_target(self.path)

    def check(self, outputs: Sequence[Output], inputs: ExportInputs, *, force: bool) -> None:
        """See `Place`."""
        self.require_writable()
        if self.path.exists() and not force:
            manifest = read_manifest(self.manifest_path)
            if manifest is None:
                raise _not_ours(self.path)
            # Killed between manifest and file, the new one lies beside the old one.
            if not any(manifest.files[0].is_at(one) for one in (self.path, self._partial)):
                raise _changed(self.path)

    def sink(self, output: Output, inputs: str) -> AbstractContextManager[Sink]:
        """See `Place`."""
        return BlockFile(self.path.name, self._partial, self._progress, inputs).open()

    def publish(self, manifest: ExportManifest, files: Sequence[Written]) -> None:
        """See `Place`; killed in between, the checksum shows that manifest and file do not match."""
        _write(self.manifest_path, manifest)
        self._partial.replace(self.path)
        self._progress.unlink(missing_ok=True)

    def discard(self) -> None:
        """See `Place`."""
        self._partial.unlink(missing_ok=True)
        self._progress.unlink(missing_ok=True)


class _Recorded(NamedTuple):
    """A file as a manifest in the folder has it."""

    manifest_path: Path
    owner: ExportInputs
    file: ExportedFile


class FolderPlace(Place):
    """A folder.

    Args:
        path: The folder; made where it is not there.
        label: Of this export among those in the folder.
    """

    def __init__(self, path: Path, label: str) -> None:
        self.path = path
        self.manifest_path = path / f"{label}.manifest.json"
        self.compression = "zstd"
        self._work = path / f".{label}.partial"
        self._is_made = not path.exists()

    def require_writable(self) -> None:
        """See `Place`."""
        if self.path.exists() and not self.path.is_dir():
            raise InputError(
                f"{self.path}: is no folder", hint="name a folder; it is made if it is not there"
            )
        require_folder(self.path if self.path.exists() else self.path.parent)

    def check(self, outputs: Sequence[Output], inputs: ExportInputs, *, force: bool) -> None:
        """See `Place`."""
        self.require_writable()
        there = self._there(outputs)
        self._require_free(outputs, there)
        if force:
            return
        if any(output.table for output in outputs) and not card.is_ours(self.path):
            raise _not_ours(self.path / card.NAME)
        recorded = self._recorded()
        for name in there:
            self._require_ours(name, recorded.get(name, []), inputs)

    def _require_free(self, outputs: Sequence[Output], there: set[str]) -> None:
        """No folder lies where a file will, and no file where a folder will."""
        for name in there:
            if not (self.path / name).is_file():
                raise InputError(f"{self.path / name}: is no regular file", hint="move it away")
        for folder in {folder for output in outputs for folder in PurePath(output.name).parents}:
            if (self.path / folder).exists() and not (self.path / folder).is_dir():
                raise InputError(f"{self.path / folder}: is no folder", hint="move it away")

    def _there(self, outputs: Sequence[Output]) -> set[str]:
        """Files that would be replaced: what is in the outputs' places, and what was this export before."""
        found = {
            str(path.relative_to(self.path))
            for output in outputs
            for path in self.path.glob(f"{output.name}*" if output.table else output.name)
            if is_output(output, path.relative_to(self.path))
        }
        before = read_manifest(self.manifest_path)
        earlier = {file.name for file in before.files} if before else set()
        return found | {name for name in earlier if (self.path / name).exists()}

    def _recorded(self) -> dict[str, list[_Recorded]]:
        """By name, what the manifests in the folder say of a file."""
        found: dict[str, list[_Recorded]] = {}
        for path in self.path.glob("*.manifest.json"):
            if manifest := read_manifest(path):
                for file in manifest.files:
                    found.setdefault(file.name, []).append(_Recorded(path, manifest.inputs, file))
        return found

    def _require_ours(self, name: str, recorded: Sequence[_Recorded], inputs: ExportInputs) -> None:
        """Only what every split's export has alike, such as the corpus, may be there from another one."""
        if not recorded:
            raise _not_ours(self.path / name)
        for one in recorded:
            theirs = (one.owner.format, one.owner.collection) != (inputs.format, inputs.collection)
            if theirs and one.manifest_path != self.manifest_path:
                raise _anothers(self.path / name, one.owner)
        if not any(one.file.is_at(self.path / name) for one in recorded):
            raise _changed(self.path / name)

    def is_fresh(self, inputs: ExportInputs) -> bool:
        """See `Place`."""
        return super().is_fresh(inputs) and (card.is_right(self.path) or not card.is_ours(self.path))

    def sink(self, output: Output, inputs: str) -> AbstractContextManager[Sink]:
        """See `Place`."""
        self._work.mkdir(parents=True, exist_ok=True)
        place = self._work / output.name.replace("/", "~")
        if output.table:
            return ShardedTable(output.name, place, inputs).open()
        progress = place.with_name(f"{place.name}.progress")
        return BlockFile(output.name, place, progress, inputs).open()

    def publish(self, manifest: ExportManifest, files: Sequence[Written]) -> None:
        """See `Place`; killed in between, whatever is there is as a manifest has it."""
        with self._alone():
            card.write(self.path, without=self.manifest_path)
            before = read_manifest(self.manifest_path)
            shards = self._shards_of(files)
            kept = shards | {file.name for file in files}
            # What has been changed since is not ours to remove, whatever a manifest says.
            others = [one for one in before.files if one.name not in kept] if before else []
            earlier = {one.name for one in others if one.is_at(self.path / one.name)}
            for old in earlier | shards:
                (self.path / old).unlink(missing_ok=True)
            _write(self.manifest_path, manifest)
            for file in files:
                target = self.path / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                file.path.replace(target)
            shutil.rmtree(self._work)
            card.write(self.path)

    def _shards_of(self, files: Sequence[Written]) -> set[str]:
        """What lies there of the same tables, perhaps from another split's export in more shards or fewer."""
        tables = {card.table_of(file.name) for file in files} - {None}
        there = (str(path.relative_to(self.path)) for path in self.path.glob("*/*.parquet"))
        return {name for name in there if card.table_of(name) in tables}

    def discard(self) -> None:
        """See `Place`."""
        shutil.rmtree(self._work, ignore_errors=True)
        if self._is_made:
            with suppress(OSError):  # another export has come into it
                self.path.rmdir()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other export is put in place in this folder meanwhile: they share its card."""
        handle = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def is_output(output: Output, name: Path) -> bool:
    """Whether a file (below the folder) is one that an output writes."""
    if not output.table or output.name.endswith(".parquet"):
        return str(name) == output.name
    return card.table_of(str(name)) == output.name


def _not_ours(path: Path) -> Conflict:
    return Conflict(
        f"{path}: exists, and no export's manifest lies beside it",
        hint="choose another name, or overwrite it with --force",
    )


def _changed(path: Path) -> Conflict:
    return Conflict(
        f"{path}: has been changed since it was exported: it is not as its manifest has it",
        hint="choose another name, or overwrite it with --force",
    )


def _anothers(path: Path, owner: ExportInputs) -> Conflict:
    return Conflict(
        f"{path}: belongs to the export of `{owner.format}` from collection '{owner.collection}'",
        hint="choose another folder, or overwrite it with --force",
    )


def _write(path: Path, manifest: ExportManifest) -> None:
    replace(path, manifest.model_dump_json(indent=1).encode() + b"\n")
