"""The card (README.md) of a folder of exports: its `configs:` make every subset load by its name.

`datasets.load_dataset(FOLDER, SUBSET)` reads them (huggingface.co/docs/hub/datasets-manual-configuration).
The card is made anew from the manifests in the folder, so that equal folders have equal cards.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from services.exports.manifest import ExportManifest, is_whole, read_manifest
from services.exports.writer import replace

NAME = "README.md"
SHARD = re.compile(r"(?P<subset>[^/]+)/(?P<split>[^/]+)-\d{5}-of-\d{5}\.parquet")
_MADE = "Made by `msmctl export`; "


def table_of(name: str) -> str | None:
    """The table, `<subset>/<split>`, that a file (below the folder) is a shard of."""
    shard = SHARD.fullmatch(name)
    return shard and f"{shard['subset']}/{shard['split']}"


def is_ours(folder: Path) -> bool:
    """Whether the card is there no more than we made it."""
    path = folder / NAME
    return not path.exists() or _MADE in path.read_text("utf-8", "replace")


def write(folder: Path, without: Path | None = None) -> None:
    """List the subsets of all whole exports in the folder; where there is none, there is no card.

    Args:
        folder: The folder.
        without: Manifest of an export that is not listed, as it is being replaced.
    """
    wanted = _wanted(folder, without)
    if wanted:
        replace(folder / NAME, wanted)
    elif is_ours(folder):
        (folder / NAME).unlink(missing_ok=True)


def is_right(folder: Path) -> bool:
    """Whether the card lists the subsets of all whole exports in the folder."""
    path = folder / NAME
    return (path.read_bytes() if path.exists() else b"") == _wanted(folder, None)


def _wanted(folder: Path, without: Path | None) -> bytes:
    found = [
        manifest
        for path in sorted(folder.glob("*.manifest.json"))
        if path != without
        and (manifest := read_manifest(path))
        and is_whole(manifest, folder, thorough=False)
    ]
    subsets: dict[str, dict[str, ExportManifest]] = {}
    for manifest in found:
        for file in manifest.files:
            if shard := SHARD.fullmatch(file.name):
                subsets.setdefault(shard["subset"], {})[shard["split"]] = manifest
    return _card(subsets).encode() if subsets else b""


def _card(subsets: dict[str, dict[str, ExportManifest]]) -> str:
    configs = [
        {
            "config_name": subset,
            "data_files": [
                {"split": _spelt(split), "path": f"{subset}/{split}-?????-of-?????.parquet"}
                for split in sorted(splits)
            ],
        }
        for subset, splits in sorted(subsets.items())
    ]
    head = yaml.safe_dump({"configs": configs}, sort_keys=False, allow_unicode=True)
    rows = "".join(
        f"| {subset} | {split} | {_rows(manifest, subset, split):,} | {manifest.inputs.collection} |\n"
        for subset, splits in sorted(subsets.items())
        for split, manifest in sorted(splits.items())
    )
    return (
        f"---\n{head}---\n\n{_MADE}`*.manifest.json` says what each subset was made from.\n\n"
        f"| subset | split | rows | collection |\n|---|---|---:|---|\n{rows}"
    )


def _spelt(split: str) -> str:
    """The split as `datasets` may call it: it knows no dash."""
    return split.replace("-", "_")


def _rows(manifest: ExportManifest, subset: str, split: str) -> int:
    shards = ((SHARD.fullmatch(file.name), file.rows) for file in manifest.files)
    return sum(
        rows for shard, rows in shards if shard and (shard["subset"], shard["split"]) == (subset, split)
    )
