"""How well does `likely_positive` find positives that nobody labelled? TREC DL 2019, labels taken away.

    python benchmarks/hidden_positives.py ../shared/data/msmarco-dl19 [--draws 50] [--ce FOLDER]

Per draw each query keeps one random passage of grade 3 as its positive (else one of its best grade) and
hides the others of grade 2 and above. Candidates are what three published systems rank in their top 50,
read and judged by msmctl's own reader: passages that copy the positive are near_duplicate already and do
not count. Then every rule says which of the rest are likely positives:

- a margin below the positive's score (`ce-margin`), of a cross-encoder (`--ce`, in logits) or of
  all-MiniLM-L6-v2's cosine, which stands in where there is no cross-encoder;
- a share of the positive's score (`percent-of-positive`), of the cosine;
- agreement: at least k of the three systems rank the passage in their top 10 or 20;
- cosine and agreement together.

precision: of the judged passages that a rule flags, those hidden. of all: the same, unjudged ones counted
as wrong. recall: of the hidden ones among the candidates, those flagged. left: of the judged passages that
remain as negatives, those hidden. All are sums over queries, averaged over draws; +- is one deviation.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.collections.collection import Collection
from services.cross_encoders import models as cross_encoders
from services.mining.exclusion import Reason
from services.mining.ranking import Ords, Scores, pair_keys
from services.mining.runs import open_run
from services.negatives.block import CandidateBlock, Mask, Pairs, Positives
from services.negatives.marks import Mark, Marks
from services.negatives.reader import Candidates
from services.negatives.verdicts import Rules, Verdict, verdicts
from services.reranking.rerankers import ByBiEncoder, ByCrossEncoder, Reranker
from services.settings import load
from services.store import Store
from services.systems.registry import Registry

SPLIT, DEPTH, RELEVANT, BEST = "test", 50, 2, 3
SYSTEM = "all-MiniLM-L6-v2"
COSINE_MARGINS = (-0.1, -0.05, 0.0, 0.05, 0.1, 0.15, 0.2)
LOGIT_MARGINS = (-2.0, 0.0, 1.0, 2.0, 3.0, 4.0, 6.0)
SHARES = (1.0, 0.95, 0.9, 0.8)
AGREEMENTS = ((1, 10), (2, 10), (3, 10), (1, 20), (2, 20), (3, 20))
TOGETHER = ((0.0, 2, 20), (0.1, 2, 20), (0.2, 2, 20))


@dataclass(frozen=True)
class Draw:
    """One draw: judged candidates, and the truth about each pair that is left open.

    Attributes:
        open: Per pair, whether nothing but a score can tell it from a negative.
        hidden: Per pair, whether its label was taken away.
        judged: Per pair, whether there is a judgement.
    """

    block: CandidateBlock
    open: Mask
    hidden: Mask
    judged: Mask


class Known:
    """Scores of all pairs that any draw may ask for, computed once."""

    def __init__(self, reranker: Reranker, collection: Collection, qords: Ords, ords: Ords) -> None:
        self._keys = pair_keys(qords, ords)
        found = reranker.of_collection(collection, qords, ords, lambda pairs: None)
        self._scores = found.scores
        say(f"{len(ords):,} pairs scored by {reranker.name}")

    def of(self, qords: Ords, ords: Ords) -> Scores:
        """Per pair, its score; NaN for those that no draw asks for."""
        wanted = pair_keys(qords, ords)
        places = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        return np.where(self._keys[places] == wanted, self._scores[places], np.float32("nan"))


Flags = Callable[[Draw], Mask]


def main() -> None:
    """Prepare, draw, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="collection.tsv.gz, queries.tsv, qrels.txt, runs/*.trec")
    parser.add_argument("--draws", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ce", type=Path, help="folder of a cross-encoder")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="msmctl-hidden-") as scratch:
        home = Path(scratch)
        collection, systems = prepared(given.data, home)
        grades = read_grades(given.data / "qrels.txt", collection)
        draws = list(drawn(collection, systems, grades, given.draws, given.seed))
        say("drawn")
        rules = all_rules(collection, home, draws, given.ce)
        rows = [{"rule": name} | measured(draws, flags) for name, flags in rules]
    table(rows, draws)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


# -- candidates ------------------------------------------------------------------------------------


def prepared(data: Path, home: Path) -> tuple[Collection, list[str]]:
    """The collection without any label, and the published runs as its systems."""
    msmctl(home, "collection", "import", "dl19", "--passages", data / "collection.tsv.gz",
           "--queries", f"{SPLIT}={data / 'queries.tsv'}")  # fmt: skip
    msmctl(home, "systems", "pull", SYSTEM)
    systems = []
    for run in sorted((data / "runs").glob("*.trec")):
        systems.append(f"published-{run.stem.split('.')[0]}")
        msmctl(home, "run", "import", run, "--collection", "dl19", "--split", SPLIT, "--system", systems[-1])
    return Collection.open(Store(load(home=home).store_url), "dl19"), systems


def say(line: str) -> None:
    """A line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def msmctl(home: Path, *words: str | Path) -> None:
    """A command, in a home of its own."""
    command = [Path(sys.executable).parent / "msmctl", "--home", home, *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def read_grades(path: Path, collection: Collection) -> dict[int, dict[int, int]]:
    """Per query, the grade of each judged passage that the collection has."""
    rows = [line.split() for line in path.read_text("utf-8").splitlines()]
    qords = collection.qords_of([qid for qid, _, _, _ in rows]).tolist()
    ords = collection.ords_of([pid for _, _, pid, _ in rows]).tolist()
    grades: dict[int, dict[int, int]] = {}
    for qord, ord_, (_, _, _, grade) in zip(qords, ords, rows, strict=True):
        if qord >= 0 and ord_ >= 0:
            grades.setdefault(qord, {})[ord_] = int(grade)
    return grades


def drawn(
    collection: Collection, systems: list[str], grades: dict[int, dict[int, int]], count: int, seed: int
) -> Iterator[Draw]:
    """Draws with their candidates, as msmctl reads them when only the kept passages are positives."""
    registry = Registry.load(collection.store)
    runs = [(registry.get(name), open_run(collection, SPLIT, name)) for name in systems]
    for n in range(count):
        random = np.random.default_rng([seed, n])
        kept = {qord: kept_of(of_query, random) for qord, of_query in sorted(grades.items())}
        said = [
            Mark(
                collection.qids[qord],
                collection.pids_of(np.array([ord_], np.int32))[0],
                Verdict.POSITIVE,
                "kept",
            )
            for qord, ord_ in kept.items()
        ]
        candidates = Candidates(collection, SPLIT, [(one, run) for one, run in runs if run],
                                marks=Marks(collection, said))  # fmt: skip
        yield truth(candidates.block(0), grades, kept)


def kept_of(grades: dict[int, int], random: np.random.Generator) -> int:
    """A random passage of grade 3, else of the best grade that there is."""
    best = min(BEST, max(grades.values()))
    return int(random.choice(sorted(ord_ for ord_, grade in grades.items() if grade >= best)))


def truth(block: CandidateBlock, grades: dict[int, dict[int, int]], kept: dict[int, int]) -> Draw:
    """What the taken labels say of each pair."""
    of = block.qords[block.pairs.query].tolist()
    grade = np.array([grades[q].get(o, -1) for q, o in zip(of, block.pairs.ords.tolist(), strict=True)])
    is_kept = np.array([kept[q] == o for q, o in zip(of, block.pairs.ords.tolist(), strict=True)])
    within = np.zeros(len(block.pairs), np.bool_)
    within[block.pair[block.rank <= DEPTH]] = True
    open_ = within & (block.pairs.reason == Reason.KEPT) & ~is_kept
    return Draw(block, open_, open_ & (grade >= RELEVANT), open_ & (grade >= 0))


# -- rules -----------------------------------------------------------------------------------------


def all_rules(
    collection: Collection, home: Path, draws: list[Draw], ce: Path | None
) -> list[tuple[str, Flags]]:
    """Every rule by name."""
    settings = load(home=home)
    qords, ords = needed(draws)
    system = Registry.load(collection.store).get(SYSTEM)
    cosine = Known(ByBiEncoder(collection.store, settings, system, None), collection, qords, ords)
    rules: list[tuple[str, Flags]] = [("all candidates", lambda draw: draw.open)]
    if ce is not None:
        added, _ = cross_encoders.add(collection.store, "given", str(ce))
        logit = Known(ByCrossEncoder(collection.store, settings, added, None), collection, qords, ords)
        rules += [(f"cross-encoder, margin {m:g}", by_margin(logit, m)) for m in LOGIT_MARGINS]
    rules += [(f"cosine, margin {m:g}", by_margin(cosine, m)) for m in COSINE_MARGINS]
    rules += [(f"cosine, {share:.0%} of the positive", by_share(cosine, share)) for share in SHARES]
    rules += [(f"{k} of 3 in the top {top}", by_agreement(k, top)) for k, top in AGREEMENTS]
    rules += [
        (
            f"cosine, margin {m:g}, and {k} of 3 in the top {top}",
            both(by_margin(cosine, m), by_agreement(k, top)),
        )
        for m, k, top in TOGETHER
    ]
    return rules


def needed(draws: list[Draw]) -> tuple[Ords, Ords]:
    """All pairs that are left open in some draw, and all positives, ascending, each once."""
    keys = []
    for one in draws:
        block, positives = one.block, one.block.positives
        keys.append(pair_keys(block.qords[block.pairs.query], block.pairs.ords)[one.open])
        keys.append(pair_keys(block.qords[positives.query], positives.ords))
    distinct = np.unique(np.concatenate(keys))
    return (distinct >> 32).astype(np.int32), (distinct & 0xFFFFFFFF).astype(np.int32)


def by_margin(scores: Known, margin: float) -> Flags:
    """The verdict `likely_positive` itself, with this margin."""

    def flags(draw: Draw) -> Mask:
        pairs, positives, own = scored(scores, draw)
        nobody = np.zeros(len(pairs), np.bool_)
        found = verdicts(pairs.reason, pairs.query, own, positives, Rules(margin), pairs.verdict, nobody)
        return np.asarray(found == Verdict.LIKELY_POSITIVE)

    return flags


def by_share(scores: Known, share: float) -> Flags:
    """What `percent-of-positive` takes out."""

    def flags(draw: Draw) -> Mask:
        pairs, positives, own = scored(scores, draw)
        return np.asarray(own >= share * positives.lowest[pairs.query])

    return flags


def scored(scores: Known, draw: Draw) -> tuple[Pairs, Positives, Scores]:
    """A draw's pairs, its positives with these scores, and the score of each pair."""
    block = draw.block
    positives = block.positives
    of_positives = scores.of(block.qords[positives.query], positives.ords)
    own = scores.of(block.qords[block.pairs.query], block.pairs.ords)
    return block.pairs, replace(positives, ce=of_positives), own


def by_agreement(k: int, top: int) -> Flags:
    """What at least k systems rank in their top."""

    def flags(draw: Draw) -> Mask:
        block = draw.block
        votes = np.bincount(block.pair[block.rank <= top], minlength=len(block.pairs))
        return np.asarray(votes >= k)

    return flags


def both(one: Flags, other: Flags) -> Flags:
    """What both flag."""
    return lambda draw: one(draw) & other(draw)


# -- figures ---------------------------------------------------------------------------------------


def measured(draws: list[Draw], flags: Flags) -> dict[str, float]:
    """Means and deviations over draws."""
    rows = np.array([figures(draw, flags(draw) & draw.open) for draw in draws])
    names = ("flagged", "precision", "of_all", "recall", "left")
    found: dict[str, float] = {}
    for name, column in zip(names, rows.T, strict=True):
        found[name], found[f"{name}_deviation"] = float(column.mean()), float(column.std(ddof=1))
    return found


def figures(draw: Draw, flagged: Mask) -> tuple[float, ...]:
    """Of one draw, as the module's docstring has them."""
    right = int((flagged & draw.hidden).sum())
    rest = draw.open & ~flagged
    return (
        share(flagged.sum(), draw.open.sum()),
        share(right, (flagged & draw.judged).sum()),
        share(right, flagged.sum()),
        share(right, draw.hidden.sum()),
        share((rest & draw.hidden).sum(), (rest & draw.judged).sum()),
    )


def share(part: npt.ArrayLike, whole: npt.ArrayLike) -> float:
    """A fraction; 0 of nothing."""
    return float(part) / max(float(whole), 1.0)  # type: ignore[arg-type]


def table(rows: list[dict[str, float | str]], draws: list[Draw]) -> None:
    """As Markdown."""
    means = [np.mean([getattr(draw, name).sum() for draw in draws]) for name in ("open", "judged", "hidden")]
    print(f"{len(draws[0].block.qords)} queries, {len(draws)} draws; per draw {means[0]:,.0f} candidates, "
          f"{means[1]:,.0f} of them judged, {means[2]:,.0f} hidden positives\n")  # fmt: skip
    print("| rule | flagged | precision | of all | recall | left |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        cells = [f"{row[name]:.3f}" for name in ("flagged", "precision", "of_all", "recall", "left")]
        cells[1] += f" ± {row['precision_deviation']:.3f}"
        cells[3] += f" ± {row['recall_deviation']:.3f}"
        print(f"| {row['rule']} | {' | '.join(cells)} |")


if __name__ == "__main__":
    os.environ.setdefault("MSM_DEVICE", "cpu")
    main()
