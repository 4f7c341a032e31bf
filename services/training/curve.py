"""The loss curve: a CSV file that grows from chunk to chunk, and a picture of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = ("step", "loss", "lr", "seconds")
_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Curve:
    """Rows of (step, loss, learning rate, seconds of training so far), ascending by step."""

    rows: tuple[tuple[int, float, float, float], ...] = ()

    @classmethod
    def read(cls, path: Path) -> Curve:
        """From a file."""
        with path.open(newline="") as file:
            rows = list(csv.reader(file))[1:]
        return cls(tuple((int(row[0]), *map(float, row[1:])) for row in rows))  # type: ignore[misc]

    @property
    def seconds(self) -> float:
        """Training time so far."""
        return self.rows[-1][3] if self.rows else 0.0

    def with_rows(self, rows: Sequence[tuple[int, float, float, float]]) -> Curve:
        """With more rows, whose seconds count from their own beginning."""
        before = self.seconds
        return Curve((*self.rows, *((*row[:3], round(before + row[3], 3)) for row in rows)))

    def write(self, path: Path) -> None:
        """To a file; numbers as they are, so that equal curves are equal bytes but for the seconds."""
        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(self.rows)
        path.write_text(out.getvalue(), "ascii")

    def ends(self) -> tuple[float, float]:
        """Mean loss of the first and of the last twentieth of the steps."""
        size = max(1, len(self.rows) // 20)
        losses = [row[1] for row in self.rows]
        return sum(losses[:size]) / size, sum(losses[-size:]) / size

    def draw(self, path: Path, title: str) -> None:
        """As a picture: the loss, its running mean, the learning rate."""
        figure = _figure()
        steps = [row[0] for row in self.rows]
        losses = [row[1] for row in self.rows]
        loss = figure.add_subplot()
        loss.plot(steps, losses, color="#9db7d5", linewidth=0.8)
        loss.plot(steps, _smooth(losses), color="#1f4e79", linewidth=1.6)
        loss.set(title=title, xlabel="step", ylabel="loss")
        rate = loss.twinx()
        rate.plot(steps, [row[2] for row in self.rows], color="#c08a2e", linewidth=1, linestyle="--")
        rate.set_ylabel("learning rate")
        figure.savefig(path, format="png", metadata={"Software": None})


def sparkline(losses: Sequence[float], width: int = 24) -> str:
    """A curve as a word: a bar for the mean of each of up to `width` stretches, low for a small one."""
    means = [float(part.mean()) for part in np.array_split(losses, min(width, len(losses)))]
    low, high = min(means), max(means)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((mean - low) * scale)] for mean in means)


def _figure() -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(7, 4), dpi=120, layout="constrained")


def _smooth(losses: Sequence[float]) -> list[float]:
    """Running mean over a fortieth of the steps."""
    width = max(1, len(losses) // 40)
    sums, total = [], 0.0
    for n, loss in enumerate(losses):
        total += loss - (losses[n - width] if n >= width else 0.0)
        sums.append(total / min(n + 1, width))
    return sums
