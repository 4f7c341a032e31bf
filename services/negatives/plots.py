"""The figures of `negatives stats` as one picture: PNG or SVG, by the file's ending."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from services.errors import InputError, UsageError
from services.negatives.histogram import Histogram
from services.negatives.stats import Stats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENDINGS = (".png", ".svg")
_COLUMNS = 4
_THOUSANDS = "{x:,.0f}"


def check_place(file: Path) -> None:
    """Refuse a file that cannot be drawn, before anything is counted.

    Raises:
        UsageError: it is neither PNG nor SVG. InputError: there is no such folder.
    """
    if file.suffix.lower() not in ENDINGS:
        raise UsageError(
            f"{file}: a plot is a .png or .svg file", hint=f"--plot {file.stem or 'margins'}.png"
        )
    if not file.parent.is_dir():
        raise InputError(f"{file.parent}: no such folder", hint=f"mkdir -p {file.parent}")


def plot(stats: Stats, file: Path, *, title: str, margin: float | None) -> None:
    """Draw survivors, margins, overlap and scores.

    Args:
        stats: The figures.
        file: Where to; its ending decides.
        title: Collection and split.
        margin: Drawn as a line among the margins.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = math.ceil(len(stats.systems) / _COLUMNS)
    figure = Figure(figsize=(15, 5 + 2.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    parts: Any = figure.subfigures(2, 1, height_ratios=[5, 2.6 * rows])
    above, below = parts
    left, middle, right = above.subplots(1, 3)
    _survivors(left, stats)
    _margins(middle, stats, margin)
    _overlap(right, stats)
    scores = below.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes, name, histogram in zip(scores, stats.names, stats.scores, strict=False):
        _draw(axes, histogram, name)
        axes.set(title=name, xlabel="score of the system", ylabel="candidates")
        axes.yaxis.set_major_formatter(_THOUSANDS)
    for axes in scores[len(stats.systems) :]:
        axes.set_visible(False)
    with mpl.rc_context({"svg.hashsalt": "msmctl"}):
        figure.savefig(file, dpi=110, metadata={"Date": None} if file.suffix.lower() == ".svg" else None)


def _survivors(axes: Axes, stats: Stats) -> None:
    steps = [(step, gone) for step, gone in stats.removed.items() if gone.any()]
    start = np.zeros(len(stats.systems), np.int64)
    for step, counts in [("negatives", stats.negatives), *steps]:
        axes.barh(stats.names, counts, left=start, label=step)
        start = start + counts
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(_THOUSANDS)
    axes.set(title="what becomes of the candidates", xlabel="candidates")
    axes.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)


def _margins(axes: Axes, stats: Stats, margin: float | None) -> None:
    axes.set(
        title="margins of what verdicts leave",
        xlabel="lowest positive's ce_score - candidate's (logits)",
        ylabel="candidates",
    )
    axes.yaxis.set_major_formatter(_THOUSANDS)
    if not stats.margins.total:
        axes.text(0.5, 0.5, "not scored", ha="center", transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        return
    for name, histogram in zip(stats.names, stats.margins_by_system, strict=True):
        _draw(axes, histogram, name)
    if margin is not None:
        axes.axvline(margin, color="black", linestyle="--", label=f"margin {margin:g}")
    axes.legend(fontsize="small")


def _overlap(axes: Axes, stats: Stats) -> None:
    own = np.maximum(np.diag(stats.overlap), 1)
    share = stats.overlap / own[:, None]
    axes.imshow(share, vmin=0, vmax=1, cmap="Blues")
    places: Any = np.arange(len(stats.systems))
    axes.set_xticks(places, stats.names, rotation=90, fontsize="small")
    axes.set_yticks(places, stats.names, fontsize="small")
    for (row, column), value in np.ndenumerate(share):
        colour = "white" if value > 0.5 else "black"
        axes.text(column, row, f"{value:.0%}", ha="center", va="center", fontsize="small", color=colour)
    axes.set(title="of the row's negatives, how many the column has")


def _draw(axes: Axes, histogram: Histogram, name: str) -> None:
    if histogram.total:
        axes.stairs(histogram.counts, histogram.edges, label=name)
