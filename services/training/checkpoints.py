"""Checkpoints in the store: parts named by step and content, and a receipt that says which of them count.

What is not weights (optimizer, schedule) is read back by `torch.load(weights_only=True)`, and only after
its bytes have the sha256 that the ledger's receipt of the chunk before gives.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from services.errors import MsmError
from services.store import Part, Store
from services.store.fingerprint import file_sha256

STATE = frozenset({"optimizer.pt", "scheduler.pt", "scaler.pt", "trainer_state.json"})
"""Files that only training needs; all others make the model."""
_LEFT_OUT = frozenset({"training_args.bin", "rng_state.pth", "README.md"})
CURVE = "loss.csv"


def write_checkpoint(store: Store, key: str, folder: Path, step: int) -> tuple[list[Part], dict[str, str]]:
    """Put a folder's files into the store.

    Returns:
        The parts, and by path inside the folder the name of its part.
    """
    parts, files = [], {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.name in _LEFT_OUT:
            continue
        with path.open("rb") as source:
            part = store.write_part(
                key,
                step,
                step,
                0,
                path.suffix.lstrip(".") or "bin",
                lambda stream, source=source: shutil.copyfileobj(source, stream, 1 << 20),  # type: ignore[misc]
            )
        parts.append(part)
        files[path.relative_to(folder).as_posix()] = part.name
    return parts, files


def lay_out(store: Store, key: str, parts: Sequence[Part], files: dict[str, str], folder: Path) -> Path:
    """A checkpoint as a folder: links to the parts, each checked.

    Raises:
        MsmError: a part is missing or damaged.
    """
    named = {part.name: part for part in parts}
    for path, name in files.items():
        here = store.local_path(f"{key}/{name}")
        if not here.is_file() or file_sha256(here) != named[name].sha256:
            raise MsmError(
                f"{store.location(key)}/{name}: the checkpoint is missing or damaged",
                hint="the command that made the job begins anew with --force",
            )
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(here)
    return folder


def remove_before(store: Store, key: str, step: int, kept: Collection[int]) -> None:
    """Remove the checkpoints of earlier steps, but those of `kept`.

    Nobody needs them: `step` is where the present attempt began, and no later one begins before it. One that
    was thought dead may miss them; what it writes counts for nothing.
    """
    for name in store.children(key):
        number = name.removeprefix("part-")[:10]
        if name.startswith("part-") and number.isdigit() and int(number) < step and int(number) not in kept:
            store.remove(f"{key}/{name}")
