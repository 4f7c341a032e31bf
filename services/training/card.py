"""The model card: what a person must know to use a model, or to make it again."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import yaml

from services.store.fingerprint import short
from services.training.base import Base
from services.training.recipe import Recipe

_PACKAGES = ("msmctl", "sentence-transformers", "transformers", "torch", "accelerate", "datasets")
CARD = "README.md"


def software() -> dict[str, str]:
    """Versions of all that has a part in a training run."""
    return {name: version(name) for name in _PACKAGES}


def card(about: dict[str, Any], recipe: Recipe, base: Base) -> str:
    """README.md.

    Args:
        about: The fields of `TrainedModel`.
        recipe: As it was run.
        base: What it started from.
    """
    kind = about["makes"]
    loads = "CrossEncoder" if kind == "cross-encoder" else "SentenceTransformer"
    header = {
        "library_name": "sentence-transformers",
        "pipeline_tag": "text-ranking" if kind == "cross-encoder" else "sentence-similarity",
        "tags": [kind, "msmctl", recipe.name],
    }
    what = {"cross-encoder": "Scores pairs of query and passage (logits)."}.get(
        kind, "Encodes queries and passages into vectors."
    )
    return "\n".join(
        [
            "---",
            yaml.safe_dump(header, sort_keys=False).strip(),
            "---",
            f"# {about['name']}",
            "",
            f"{what} {recipe.help} Trained from `{base.name}` on split `{about['split']}` of collection "
            f"`{about['collection']}`.",
            "",
            "```python",
            f"from sentence_transformers import {loads}",
            "",
            f'model = {loads}("path/of/this/folder")',
            "```",
            "",
            "## Measures",
            "",
            "Queries of the split that were kept out of training; their positives and best ranked negatives "
            "reranked.",
            "",
            *_table(["", "before", "after"], _measures(about["measures"])),
            "",
            "## Training",
            "",
            *_table(["", ""], [[key, _said(value)] for key, value in about["training"].items()]),
            "",
            "![loss](loss.png)",
            "",
            "Every step is in `loss.csv`.",
            "",
            "## Data",
            "",
            *_table(
                ["", ""], [[key.replace("_", " "), _said(value)] for key, value in about["data"].items()]
            ),
            "",
            "## Recipe",
            "",
            f"Source: {recipe.source or 'none stated'}",
            "",
            "```yaml",
            yaml.safe_dump(about["recipe"], sort_keys=False, allow_unicode=True).strip(),
            "```",
            "",
            "## Made from",
            "",
            *_table(["", "fingerprint"], _parents(about["inputs"])),
            "",
            *_table(["software", "version"], [[name, value] for name, value in about["software"].items()]),
            "",
        ]
    )


def _measures(measures: dict[str, Any]) -> list[list[str]]:
    before, after = measures.get("before") or {}, measures.get("after") or {}
    return [[name, _said(before.get(name)), _said(after.get(name))] for name in after] or [["none", "", ""]]


def _parents(inputs: dict[str, Any]) -> list[list[str]]:
    rows = [["collection", short(inputs["collection"])], ["base", short(inputs["base"])]]
    rows += [[f"run of {name}", short(content)] for name, content in inputs["runs"].items()]
    scores = inputs["negatives"].get("ce")
    if scores:
        rows.append([f"scores of {scores['name']}", short(scores["scores"])])
    rows += [["filter", filter_] for filter_ in inputs["negatives"]["filters"]]
    return rows


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def _said(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
