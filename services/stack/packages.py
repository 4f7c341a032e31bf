"""Install a tool from the machine's own distribution, where we are root and it offers one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence

QUIET = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}


def offered(names: Sequence[str]) -> str | None:
    """The first of the packages that apt can install, or None (also where there is no apt)."""
    if shutil.which("apt-cache") is None:
        return None
    done = subprocess.run(
        ["apt-cache", "policy", *names], capture_output=True, text=True, env=os.environ | QUIET
    )
    found = dict(re.findall(r"^(\S+):\n.*\n  Candidate: (\S+)", done.stdout, flags=re.MULTILINE))
    return next((name for name in names if found.get(name, "(none)") != "(none)"), None)


def install(names: Sequence[str]) -> str | None:
    """Install the first of the packages that apt offers; its name, or None when that cannot be done."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return None
    name = offered(names)
    if name is None:
        _apt("update")
        name = offered(names)
    if name is None:
        return None
    print(f"installing {name} with apt-get", file=sys.stderr)
    return name if _apt("install", "--yes", "--no-install-recommends", name) else None


def command(names: Sequence[str], default: str) -> str:
    """The command that a person types to install one of the packages."""
    return f"run `sudo apt-get install {offered(names) or default}` (or your system's equivalent)"


def _apt(*arguments: str) -> bool:
    done = subprocess.run(
        ["apt-get", "-qq", *arguments], stdin=subprocess.DEVNULL, stdout=sys.stderr, env=os.environ | QUIET
    )
    return done.returncode == 0
