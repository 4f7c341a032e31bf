"""Content hashes: the same content has the same fingerprint wherever it came from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

_BLOCK = 1 << 20


def fingerprint(value: Any) -> str:
    """The sha256 (64 hex digits) of a JSON value in canonical form (sorted keys, no spaces, UTF-8)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def short(digest: str) -> str:
    """The first 12 hex digits, as names carry them (48 bits: one artefact folder, few entries)."""
    return digest[:12]
