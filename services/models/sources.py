"""Where models come from: a folder, or a pinned revision on the hub."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.errors import InputError, NotFound, Unavailable, UsageError, first_line
from services.models.folder import SAFE_PATTERNS


@dataclass(frozen=True)
class Source:
    """A model folder at hand, and where it came from. `revision` is a commit or a package version."""

    folder: Path
    name: str
    revision: str | None = None


@contextmanager
def open_source(origin: str, revision: str | None = None) -> Iterator[Source]:
    """A local folder, or a hub id; the files are there while the context is open.

    Raises:
        UsageError: nothing is named.
        InputError: the folder does not exist, or is none.
        NotFound: the hub has no such model or revision.
        Unavailable: the hub cannot be reached.
    """
    if not origin.strip():
        raise UsageError(
            "no model is named", hint="give a model folder, or a hub id such as organisation/name"
        )
    folder = _expanded(origin)
    if folder.is_dir():
        yield Source(folder.resolve(), str(folder.resolve()))
    elif folder.exists():
        raise InputError(
            f"{folder}: is no folder", hint="give the folder in which config.json and model.safetensors are"
        )
    elif origin.startswith((".", "/", "~")) or origin.count("/") > 1:
        raise InputError(
            f"no folder '{origin}'", hint="give a model folder, or a hub id such as organisation/name"
        )
    else:
        with tempfile.TemporaryDirectory(prefix="msmctl-pull-") as scratch:
            yield _from_hub(origin, revision, Path(scratch))


def _expanded(origin: str) -> Path:
    try:
        return Path(origin).expanduser()
    except RuntimeError:  # ~ of a user who does not exist
        return Path(origin)


def _from_hub(model: str, revision: str | None, scratch: Path) -> Source:
    """Fetch one commit's safe files. A branch or tag is resolved to its commit first, which is recorded."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub import errors as hub  # its HTTPError is that of whichever client it uses

    try:
        commit = HfApi().model_info(model, revision=revision).sha
        folder = snapshot_download(model, revision=commit, allow_patterns=SAFE_PATTERNS, local_dir=scratch)
    except (hub.RepositoryNotFoundError, hub.RevisionNotFoundError, hub.HFValidationError) as error:
        raise NotFound(
            f"hub: no model '{model}'" + (f" at revision '{revision}'" if revision else ""),
            hint="check the id; a private model needs HF_TOKEN",
        ) from error
    except (hub.HTTPError, hub.LocalEntryNotFoundError, OSError) as error:  # type: ignore[attr-defined]
        raise Unavailable(
            f"hub: cannot fetch '{model}': {first_line(error)}",
            hint="without a network: `pull NAME --from FOLDER` copies a folder that you have",
        ) from error
    return Source(Path(folder), f"hub {model}", commit)
