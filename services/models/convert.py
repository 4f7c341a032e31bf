"""`systems convert`: a folder with .bin weights in, a folder with safetensors out, once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from services.errors import Conflict, InputError
from services.models import unpickle
from services.models.folder import is_decisive
from services.store.fingerprint import file_sha256

_SECONDS = 1800


class Conversion(BaseModel):
    """What was converted into what, by sha256. Written beside the result as conversion.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    source_sha256: dict[str, str]
    target: str
    target_sha256: str
    bytes: int


def convert(source: Path, target: Path) -> Conversion:
    """Copy a model folder with its pytorch_model*.bin turned into model.safetensors.

    Raises:
        InputError: there is nothing to convert, or the checkpoint holds more than tensors.
        Conflict: the target is there already.
    """
    shards = sorted(source.glob("pytorch_model*.bin"))
    if not shards:
        has = (
            "it has safetensors already"
            if list(source.glob("*.safetensors"))
            else "no pytorch_model*.bin in it"
        )
        raise InputError(
            f"{source}: nothing to convert: {has}", hint="give a model folder with pytorch_model.bin"
        )
    if target.exists():
        raise Conflict(f"{target} exists", hint="give another folder with -o, or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        made = Path(scratch) / "model"
        _copy_other_files(source, made)
        hashes = {path.name: file_sha256(path) for path in shards}
        _unpickle(shards, made / "model.safetensors")
        conversion = Conversion(
            source=str(source.resolve()),
            source_sha256=hashes,
            target=str(target.resolve()),
            target_sha256=file_sha256(made / "model.safetensors"),
            bytes=(made / "model.safetensors").stat().st_size,
        )
        (made / "conversion.json").write_text(json.dumps(conversion.model_dump(), indent=1) + "\n", "utf-8")
        made.rename(target)
    return conversion


def _copy_other_files(source: Path, target: Path) -> None:
    """The decisive files but for weights, sub-folders of modules included."""
    target.mkdir()
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if len(relative.parts) <= 2 and path.is_file() and is_decisive(path.name):
            (target / relative).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target / relative)


def _unpickle(shards: list[Path], target: Path) -> None:
    """Run the confined child (see `unpickle`)."""
    with tempfile.TemporaryDirectory(prefix="msmctl-unpickle-") as empty:
        command = [sys.executable, "-I", unpickle.__file__, str(target.resolve())]
        try:
            child = subprocess.run(
                [*command, *(str(path.resolve()) for path in shards)],
                env={"OMP_NUM_THREADS": "1", "HOME": empty},
                cwd=empty,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise InputError(
                f"{shards[0]}: not converted within {_SECONDS} s", hint="is it a whole model?"
            ) from None
    said = child.stderr.strip().splitlines()[-1:] or [f"exit status {child.returncode}"]
    if child.returncode == unpickle.REFUSED:
        raise InputError(
            f"{shards[0]}: refused: {said[0]}",
            hint="it holds more than tensors (perhaps code), or is damaged; nothing of it was run; "
            "ask its maker for safetensors",
        )
    if child.returncode:
        raise InputError(
            f"{shards[0]}: the confined conversion failed: {said[0]}",
            hint="are memory and disk large enough?",
        )
