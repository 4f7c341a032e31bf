"""Typed settings: flag > environment (MSM_*) > msmctl.toml > default.

`msmctl.toml` is looked for in MSM_HOME. Secrets are never settings: they are files under
`MSM_HOME/secrets` (or MSM_SECRETS), one per user, read when they are needed.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from services.errors import InputError

Origin = Literal["flag", "environment", "msmctl.toml", "default"]


def checkout() -> Path | None:
    """The source checkout that this package runs from, or None when installed as a wheel."""
    root = Path(__file__).resolve().parents[1]
    return root if (root / "pyproject.toml").is_file() and (root / "services").is_dir() else None


def default_home() -> Path:
    """`.msm` in the checkout (wherever the caller stands), else the user's state folder."""
    root = checkout()
    if root is not None:
        return root / ".msm"
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "msmctl"


class Settings(BaseModel):
    """All settings of one installation. Immutable; pass it on, never a global."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    home: Path = Field(default_factory=default_home, description="state folder: store, secrets, logs, data")
    prefix: str = Field(
        "msm", pattern=r"^[a-z0-9][a-z0-9]{0,30}$", description="prefix of every index and Redis key"
    )
    store: str = Field("", description="artefact store: a folder or an fsspec URL; empty: HOME/store")
    es_url: str = Field("", description="a running Elasticsearch; empty: the local stack's")
    es_user: str = Field("", description="user for es_url; empty: the component's own")
    redis_url: str = Field(
        "", description="a running Redis or Valkey, without password; empty: the local stack's"
    )
    secrets: str = Field("", description="folder of password files, one per user; empty: HOME/secrets")
    es_heap: str = Field(
        "", pattern=r"^(\d+[mg])?$", description="Elasticsearch heap; empty: from the memory"
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="where models run")
    threads: int = Field(0, ge=0, description="compute threads per worker; 0: all cores")
    memory_mb: int = Field(512, ge=64, description="memory that one mining or scoring block may take, in MiB")
    lease_seconds: float = Field(
        30.0, gt=0, description="a chunk silent for so long is given to another worker"
    )
    window: int = Field(16, ge=1, le=256, description="chunks on the broker at a time, per queue")
    max_attempts: int = Field(5, ge=1, description="attempts before a chunk is given up")
    senders: int = Field(4, ge=1, le=64, description="parallel requests to Elasticsearch")
    embed_url: str = Field(
        "", description="who encodes queries (docs/serving.md); empty: the local stack's models process"
    )
    rerank_url: str = Field("", description="who reranks; empty: the local stack's models process")
    warm: str = Field(
        "", description="models to be loaded at start, comma-separated; empty: those in use before"
    )
    models_mb: int = Field(4096, ge=64, description="models kept loaded for serving, in MiB of their files")
    queue_tokens: int = Field(
        262_144, ge=1024, description="tokens that may wait for the models; beyond: 429, come back later"
    )
    searches_days: int = Field(
        30, ge=0, le=400, description="days that searches stay in the log; 0: none is logged"
    )
    searches_text: bool = Field(False, description="log the text of queries too, not only their hash")

    @field_validator("es_url", "redis_url", "embed_url", "rerank_url")
    @classmethod
    def _without_password(cls, url: str) -> str:
        """A password in an address would be shown by `config show` and stand in logs."""
        if "@" in urlsplit(url).netloc:
            raise ValueError("no user and password in an address: put the password into MSM_SECRETS/<user>")
        return url

    @property
    def store_url(self) -> str:
        """Where artefacts lie."""
        return self.store or str(self.home / "store")

    @property
    def secrets_dir(self) -> Path:
        """Folder of the password files."""
        return Path(self.secrets) if self.secrets else self.home / "secrets"

    def index(self, *parts: str) -> str:
        """The name of an index or alias: prefix and parts joined by '-'."""
        return "-".join((self.prefix, *parts))


def _from_environment() -> dict[str, Any]:
    return {
        name: os.environ[key]
        for name in Settings.model_fields
        if (key := f"MSM_{name.upper()}") in os.environ
    }


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", hint="choose another MSM_HOME, or mend it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid TOML: {error}", hint="mend or remove the file") from error


def load(**flags: Any) -> Settings:
    """Settings from all sources. `flags` that are None do not count.

    Raises:
        InputError: a value or a key of the file or the environment is not valid.
    """
    return load_with_origin(**flags)[0]


def load_with_origin(**flags: Any) -> tuple[Settings, dict[str, Origin]]:
    """Settings and, per name, the source that decided it."""
    given = {name: value for name, value in flags.items() if value is not None}
    environment = _from_environment()
    home = Path(given.get("home") or environment.get("home") or default_home()).expanduser().absolute()
    file = home / "msmctl.toml"
    layers: list[tuple[Origin, dict[str, Any]]] = [
        ("msmctl.toml", _from_file(file)),
        ("environment", environment),
        ("flag", given),
    ]
    values: dict[str, Any] = {}
    origin: dict[str, Origin] = dict.fromkeys(Settings.model_fields, "default")
    for name, layer in layers:
        values |= layer
        origin |= dict.fromkeys(layer, name)
    values["home"] = home
    # A relative folder would be another one in every working directory, and in every process of the stack.
    for folder in ("store", "secrets"):
        if values.get(folder) and "://" not in str(values[folder]):
            base = home if origin[folder] == "msmctl.toml" else Path.cwd()
            values[folder] = str(base / Path(str(values[folder])).expanduser())
    try:
        return Settings(**values), origin
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        source = origin.get(key, "msmctl.toml")
        where = (
            str(file) if source == "msmctl.toml" else f"MSM_{key.upper()}" if source == "environment" else key
        )
        raise InputError(
            f"{where}: setting '{key}': {first['msg']}"
            + ("" if "_url" in key else f" (got {first.get('input')!r})"),
            hint="`msmctl config show --origin` lists every setting",
        ) from error
