"""Where a system's model comes from without further words: an installed Python package, or the hub."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from services.errors import InputError
from services.models.sources import Source
from services.systems.system import System


def require_encoder(system: System) -> None:
    """InputError for a system that has no model to be pulled or verified."""
    if not system.encodes:
        raise InputError(
            f"system '{system.name}' has no model",
            hint="only encoders have one: `msmctl systems ls` lists them as dense or sparse",
        )


def origin_of(system: System) -> str:
    """Where a registered system's model is to be had without further words.

    Raises:
        InputError: the system has no model, or nobody has published it.
    """
    require_encoder(system)
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
