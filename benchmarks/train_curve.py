"""What does a cross-encoder add after 25, 60 and 120 minutes of training? Takes hours; goes on where it was.

    nohup python benchmarks/train_curve.py HOME [--data ../shared/data/squad] > curve.log 2>&1 &

One run of `ce-bce` on squad's train split, with the mined negatives of BM25 and all-MiniLM-L6-v2; the model
is kept at the marks (the learning rate falls over the whole run, so that the earlier models are those of a
run that was stopped). Each model reranks the top 50 of both systems for questions of the test split; RR@10
with the two-sided paired randomisation test (sign flips, 100,000 draws) against the list that was reranked.
Scores are computed in bfloat16 where training is. HOME is an MSM_HOME of its own: stack, store and all scores
lie there. Every step is skipped when it is done.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

SYSTEMS = ("bm25", "all-MiniLM-L6-v2")
NAME, DEPTH, DRAWS, BLOCK = "curve", 50, 100_000, 10


def main() -> None:
    """Prepare, train, rerank, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("home", type=Path, nargs="?", help="MSM_HOME of the experiment")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/squad"))
    parser.add_argument(
        "--minutes", type=float, nargs="+", default=[25, 60, 120], help="marks; the last ends it"
    )
    parser.add_argument(
        "--queries", type=int, default=300, help="questions of the test split, drawn by --seed"
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], help="as `msmctl train` takes it"
    )
    given = parser.parse_args()
    if given.home is None:
        print("not run: it takes hours; give it a HOME of its own (--help)")
        return
    os.environ["MSM_HOME"] = str(given.home.absolute())
    prepare(given.data)
    models = trained(sorted(given.minutes), given.overrides)
    rows = [row for model in models for row in judged(given.home, model, given.queries, given.seed)]
    (given.home / "curve.json").write_text(json.dumps(rows, indent=1) + "\n")
    table(rows)


def msmctl(*arguments: str) -> Any:
    """A command; its JSON."""
    command = [str(Path(sys.executable).parent / "msmctl"), *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def prepare(data: Path) -> None:
    """The stack, the collection, the runs."""
    msmctl("up")
    if not any(one["name"] == "squad" for one in msmctl("collection", "ls")):
        files = ["--passages", str(data / "collection.tsv.gz")]
        for split in ("train", "test"):
            files += ["--queries", f"{split}={data}/queries.{split}.tsv.gz"]
            files += ["--qrels", f"{split}={data}/qrels.{split}.tsv.gz"]
        msmctl("collection", "import", "squad", *files)
    for split in ("train", "test"):
        msmctl(
            "mine", "--collection", "squad", "--split", split, "--system", ",".join(SYSTEMS), "--depth", "50"
        )


def trained(marks: list[float], overrides: list[str]) -> list[dict[str, Any]]:
    """The model at each mark, the last one last; joins the run where one is under way."""
    shares = ",".join(f"{mark / marks[-1]:.6f}" for mark in marks[:-1])
    settings = [f"minutes={marks[-1]:g}", f"snapshots=[{shares}]", *overrides]
    command = [word for text in settings for word in ("--set", text)]
    msmctl("train", "ce-bce", "--collection", "squad", "--name", NAME, *command)
    names = [one["name"] for one in msmctl("models", "ls")]
    shown = [msmctl("models", "show", one) for one in names if one == NAME or one.startswith(f"{NAME}-")]
    job = next(one["job"] for one in shown if one["name"] == NAME)
    return sorted((one for one in shown if one["job"] == job), key=lambda one: one["training"]["steps"])


def judged(home: Path, model: dict[str, Any], queries: int, seed: int) -> Iterator[dict[str, Any]]:
    """Per system: RR@10 of its own list and of the list reranked, with the test between them."""
    from services.collections.collection import Collection
    from services.mining.runs import open_run
    from services.settings import load
    from services.store import Store

    collection = Collection.open(Store(load().store_url), "squad")
    qords = collection.split_qords("test")
    qords = np.sort(np.random.default_rng(seed).choice(qords, min(queries, len(qords)), replace=False))
    lists = {}
    for system in SYSTEMS:
        run = open_run(collection, "test", system)
        assert run is not None
        lists[system] = {found.qord: found.ords[:DEPTH] for found in run.of(qords)}
    qrels = collection.qrels("test")
    scores = scored(home, model, collection, qords, lists)
    for system in SYSTEMS:
        before, after = [], []
        for qord in map(int, qords):
            ords, positives = lists[system][qord], qrels.positives(qord)
            by = np.array([scores[qord][int(ord_)] for ord_ in ords])
            before.append(reciprocal(ords, positives))
            after.append(reciprocal(ords[np.argsort(-by, kind="stable")], positives))
        yield {
            "model": model["name"],
            "minutes": round(model["training"]["seconds"] / 60, 1),
            "steps": model["training"]["steps"],
            "pairs": model["training"]["examples"],
            "system": system,
            "queries": len(qords),
            "RR@10 before": round(float(np.mean(before)), 4),
            "RR@10 reranked": round(float(np.mean(after)), 4),
            "wins": int(np.sum(np.array(after) > before)),
            "losses": int(np.sum(np.array(after) < before)),
            "p": randomisation(np.array(after) - np.array(before), seed),
        }


def scored(
    home: Path, model: dict[str, Any], collection: Any, qords: Any, lists: Any
) -> dict[int, dict[int, float]]:
    """The logit of every pair, from the file of what was scored before or by the model."""
    import torch
    from sentence_transformers import CrossEncoder

    from services.training.precision import fitting

    file = home / "curve" / f"{model['name']}-{model['fingerprint'][:12]}.jsonl"
    file.parent.mkdir(exist_ok=True)
    found: dict[int, dict[int, float]] = {}
    if file.exists():
        whole = file.read_text().rpartition("\n")[0]  # the last line of a killed run may be cut off
        file.write_text(f"{whole}\n" if whole else "")
        for record in map(json.loads, whole.splitlines()):
            found[record["qord"]] = dict(zip(record["ords"], record["scores"], strict=True))
    encoder = CrossEncoder(model["location"])
    if fitting("auto", encoder.device.type, torch.get_num_threads()) == "bf16":
        encoder.bfloat16()
    missing = [int(qord) for qord in qords if int(qord) not in found]
    texts = collection.read_queries(0, collection.state.query_count, ["text"])["text"]
    with file.open("a") as out:
        for at in range(0, len(missing), BLOCK):
            block = missing[at : at + BLOCK]
            ords = {qord: np.unique(np.concatenate([lists[one][qord] for one in SYSTEMS])) for qord in block}
            pairs = [(texts[q].as_py(), text) for q in block for text in collection.texts_of(ords[q])]
            logits = iter(encoder.predict(pairs, show_progress_bar=False).tolist())
            for qord in block:
                record = {
                    "qord": qord,
                    "ords": ords[qord].tolist(),
                    "scores": [next(logits) for _ in ords[qord]],
                }
                out.write(json.dumps(record) + "\n")
                found[qord] = dict(zip(record["ords"], record["scores"], strict=True))
            out.flush()
            print(
                f"{model['name']}: {at + len(block)} of {len(missing)} questions", file=sys.stderr, flush=True
            )
    return found


def reciprocal(ords: Any, positives: Any) -> float:
    """1 / rank of the first positive among the first ten, else 0."""
    hits = np.flatnonzero(np.isin(ords[:10], positives))
    return 1.0 / (hits[0] + 1) if len(hits) else 0.0


def randomisation(differences: Any, seed: int) -> float:
    """Two-sided p of the mean of paired differences: how often random signs give as large a one."""
    draw = np.random.default_rng(seed)
    differences = differences[differences != 0]
    observed, beyond = abs(differences.sum()), 0
    for _ in range(100):
        signs = draw.integers(0, 2, (DRAWS // 100, len(differences)), np.int8) * 2 - 1
        beyond += int((np.abs(signs @ differences) >= observed - 1e-12).sum())
    return round((beyond + 1) / (DRAWS + 1), 5)


def table(rows: list[dict[str, Any]]) -> None:
    """As Markdown."""
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + " --- |" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")


if __name__ == "__main__":
    main()
