"""Where the local stack's files lie, and as whom Elasticsearch runs.

```
MSM_HOME/stack.json          ports and tools, chosen once and remembered
         secrets/<user>      one password per user
         logs/<process>.log
         run/                supervisor's lock and state, heartbeats
         redis/              configuration, append-only file
         elasticsearch/      config, data, tmp (or below /var/lib/msmctl, see `Layout.of`)
```
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from services.settings import Settings, checkout

SHARED = Path("/var/lib/msmctl")
"""Where things go that an unprivileged user must reach when MSM_HOME or the cache is closed to it."""

ELASTIC_UID = 64738
"""The user that Elasticsearch, which refuses root, runs as when we are root. It needs no passwd entry."""


def elastic_uid() -> int | None:
    """The user id for Elasticsearch when we are root, else None: our own."""
    return ELASTIC_UID if os.geteuid() == 0 else None


def closed_parent(path: Path, uid: int | None) -> Path | None:
    """The first folder on the way to `path` (itself included) that `uid` may not enter, or None.

    Folders that do not exist yet do not count: we create them open.
    """
    if uid is None:
        return None
    for folder in reversed([path, *path.parents]):
        if not folder.exists():
            return None
        entry = folder.stat()
        bit = stat.S_IXUSR if entry.st_uid == uid else stat.S_IXOTH
        if not entry.st_mode & bit:
            return folder
    return None


def cache_dir() -> Path:
    """Downloads and unpacked distributions: in the checkout if it is ours, else in a cache of the user."""
    root = checkout()
    if root is not None and os.access(root, os.W_OK):
        return root / ".cache"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "msmctl"


@dataclass(frozen=True)
class Layout:
    """The folders of one MSM_HOME.

    Attributes:
        home: MSM_HOME, absolute.
        elastic: Elasticsearch's config, data and tmp.
        uid: The user that Elasticsearch runs as; None: our own.
    """

    home: Path
    elastic: Path
    uid: int | None

    @classmethod
    def of(cls, settings: Settings) -> Layout:
        """The layout for these settings.

        As root, when a parent of the home is closed to Elasticsearch's user (a 0700 temporary folder),
        Elasticsearch's part goes to /var/lib/msmctl/<hash of the home>.
        """
        uid = elastic_uid()
        home = settings.home
        if closed_parent(home, uid) is None:
            return cls(home, home / "elasticsearch", uid)
        return cls(home, SHARED / hashlib.sha256(str(home).encode()).hexdigest()[:16], uid)

    @property
    def state(self) -> Path:
        """Ports and tools, remembered between starts."""
        return self.home / "stack.json"

    @property
    def run(self) -> Path:
        """Locks and the supervisor's state."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        """One log per process."""
        return self.home / "logs"

    def log(self, name: str) -> Path:
        """The log of one process."""
        return self.logs / f"{name}.log"

    def create(self, *, elastic: bool = True) -> None:
        """Make the folders; Elasticsearch's, if it runs here, belong to its user and to nobody else."""
        for folder in (self.home, self.run, self.logs, self.home / "redis"):
            folder.mkdir(parents=True, exist_ok=True)
        if not elastic:
            return
        self.elastic.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        for folder in (self.elastic, self.elastic / "config", self.elastic / "data", self.elastic / "tmp"):
            folder.mkdir(mode=0o700, exist_ok=True)
            self.give(folder)

    def give(self, path: Path) -> None:
        """Hand a file or folder to Elasticsearch's user."""
        if self.uid is not None:
            os.chown(path, self.uid, self.uid)
