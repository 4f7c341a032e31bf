"""Runs as a script of its own: a .bin checkpoint (a pickle) in, a safetensors file out, in confinement.

A checkpoint from elsewhere is hostile until shown otherwise. Three walls: torch's `weights_only`
unpickler, which knows tensors and containers and no other callable; limits on memory, time, file size
and processes; no network where the kernel lets us leave it (a user and network namespace of our own).
The parent gives no environment, no standard input and an empty working directory.
"""

from __future__ import annotations

import ctypes
import re
import resource
import sys
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_GIB = 1 << 30
REFUSED = 3
_GLOBAL = re.compile(r"GLOBAL ([A-Za-z0-9_.]{1,80})")


def confine(size: int) -> None:
    """Give up what the conversion of `size` bytes does not need."""
    ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER | _CLONE_NEWNET)  # best effort: may be forbidden
    for limit, value in (
        (resource.RLIMIT_AS, 4 * size + 16 * _GIB),  # torch alone maps several GiB
        (resource.RLIMIT_FSIZE, 4 * size + (64 << 20)),
        (resource.RLIMIT_CPU, 900),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (bound, bound))


def _why(error: Exception) -> str:
    """What is wrong, in our words; torch's own advise to switch its guard off."""
    asked = _GLOBAL.search(str(error))
    if asked:
        return f"asks for '{asked[1]}', which is no tensor"
    return "not a checkpoint of tensors, or damaged"


def main(target: Path, sources: list[Path]) -> int:
    """Convert the shards of one checkpoint into one file; exit status 3 for a pickle that is refused."""
    confine(sum(path.stat().st_size for path in sources))
    import torch
    from safetensors.torch import save_file

    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))  # after torch has started its threads
    tensors: dict[str, torch.Tensor] = {}
    for path in sources:
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # junk makes an unpickler raise anything
            print(f"{path.name}: {_why(error)}", file=sys.stderr)
            return REFUSED
        if not isinstance(loaded, dict) or not all(isinstance(v, torch.Tensor) for v in loaded.values()):
            print(f"{path.name}: not a dictionary of tensors", file=sys.stderr)
            return REFUSED
        # A copy each: safetensors refuses tensors that share memory (tied weights) or are no plain blocks.
        tensors |= {str(name): tensor.clone().contiguous() for name, tensor in loaded.items()}
    save_file(tensors, target, metadata={"format": "pt"})
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]))
