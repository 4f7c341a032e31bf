"""Ports of the local stack: free ones on loopback, chosen once and remembered."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterable
from pathlib import Path

NAMES = ("elasticsearch", "elasticsearch_transport", "redis", "models", "api", "gateway")
# Below the ephemeral range (from 32768 on): no outgoing connection can take a remembered port
# while its server is being restarted.
FIRST, LAST = 20_000, 32_000
HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def choose(home: Path, remembered: dict[str, int], ours: Iterable[str] = ()) -> dict[str, int]:
    """A port for each of `NAMES`.

    A remembered port is kept while it is free, or while one of our own processes (`ours`) holds it. New ones
    are looked for from a place that depends on the home, so that two stacks started at once do not meet.
    """
    kept = {
        name: remembered[name]
        for name in NAMES
        if name in remembered and (name in ours or is_free(remembered[name]))
    }
    seed = int.from_bytes(hashlib.sha256(str(home).encode()).digest()[:4], "big")
    span = LAST - FIRST
    candidates = (FIRST + (seed + step) % span for step in range(span))
    fresh = (port for port in candidates if port not in remembered.values() and is_free(port))
    return kept | {name: next(fresh) for name in NAMES if name not in kept}
