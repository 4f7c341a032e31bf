"""Passwords: one file per user in the secrets folder (0700), readable by its owner only (0600)."""

from __future__ import annotations

import os
import secrets as random
from collections.abc import Iterable
from pathlib import Path

from services.errors import AuthError
from services.settings import Settings

USERS = ("admin", "dispatcher", "worker", "api", "console", "gateway", "reader")
"""Elasticsearch users, one per component; each has the role `<prefix>_<user>`."""

REDIS = "redis"
SEARCHES = "searches"
"""No user's: the key by which queries are hashed in the log of searches (`services.searches`)."""


def password_file(settings: Settings, user: str) -> Path:
    """Where the password of `user` lies."""
    return settings.secrets_dir / user


def password(settings: Settings, user: str) -> str:
    """The password of `user` (one of `USERS`, `redis`, or another file in the folder).

    Raises:
        AuthError: there is no such file, or it cannot be read.
    """
    path = password_file(settings, user)
    try:
        return path.read_text("utf-8").strip()
    except OSError as error:
        raise AuthError(
            f"no password for '{user}': {path}: {error.strerror}",
            hint="`msmctl up` makes them; for another cluster put it there or set MSM_SECRETS",
        ) from error


def ensure(settings: Settings, users: Iterable[str]) -> None:
    """Make the folder and every password that is missing; the modes of both are set in any case.

    Raises:
        AuthError: the folder cannot be written.
    """
    folder = settings.secrets_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        for user in users:
            path = folder / user
            if path.is_file():
                path.chmod(0o600)
            else:
                write(path, random.token_urlsafe(32) + "\n")
    except OSError as error:
        raise AuthError(
            f"secrets cannot be written to {folder}: {error.strerror}",
            hint="choose another folder with MSM_SECRETS",
        ) from error


def write(path: Path, text: str) -> None:
    """Write a file that only its owner ever could read, in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
    temporary.replace(path)
