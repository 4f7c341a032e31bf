"""Where models come from: a folder, an installed Python package, or a pinned revision on the hub."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from services.errors import InputError, NotFound, Unavailable, UsageError, first_line
from services.systems.model_folder import SAFE_PATTERNS
from services.systems.system import System


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


def require_dense(system: System) -> None:
    """InputError for a system that has no model to be pulled or verified."""
    if not system.is_dense:
        raise InputError(
            f"system '{system.name}' has no model",
            hint="only encoders have one: `msmctl systems ls` lists them as dense",
        )


def origin_of(system: System) -> str:
    """Where a registered system's model is to be had without further words.

    Raises:
        InputError: the system has no model, or nobody has published it.
    """
    require_dense(system)
    package = package_folder(system)
    if package is not None:
        return str(package)
    if system.model is None:
        raise InputError(
            f"system '{system.name}' was never published: it is trained by recipe '{system.recipe}'",
            hint=f"`msmctl systems pull {system.name} --from FOLDER` takes a model that you have",
        )
    return system.model


def package_folder(system: System) -> Path | None:
    """The model folder inside the Python package that carries the system, where that is installed."""
    spec = find_spec(system.package) if system.package else None
    folder = Path(spec.origin).parent / "model" if spec and spec.origin else None
    return folder if folder and folder.is_dir() else None


def package_source(system: System) -> Source | None:
    """The installed package as a source."""
    folder = package_folder(system)
    if folder is None or system.package is None:
        return None
    distribution = metadata.packages_distributions().get(system.package, [system.package])[0]
    return Source(folder, f"package {distribution}", metadata.version(distribution))


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
            hint="without a network: `msmctl systems pull NAME --from FOLDER`",
        ) from error
    return Source(Path(folder), f"hub {model}", commit)
