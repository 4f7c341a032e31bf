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

    systems = len(stats.systems)
    rows = math.ceil(systems / _COLUMNS)
    heights = [2.2 + 0.32 * systems, 3.6, 2.3 * rows]
    figure = Figure(figsize=(15, sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    parts: Any = figure.subfigures(3, 1, height_ratios=heights)
    above, middle, below = parts
    left, right = above.subplots(1, 2, width_ratios=[3, 2])
    _survivors(left, stats)
    _overlap(right, stats)
    _margins(middle.subplots(), stats, margin)
    scores = below.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes, name, histogram in zip(scores, stats.names, stats.scores, strict=False):
        _draw(axes, histogram, name)
        axes.set_title(name, fontsize="small")
        axes.set(xlabel="score of the system", ylabel="candidates")
        axes.yaxis.set_major_formatter(_THOUSANDS)
    for axes in scores[systems:]:
        axes.set_visible(False)
    with mpl.rc_context({"svg.hashsalt": "msmctl"}):
        figure.savefig(file, dpi=110, metadata={"Date": None} if file.suffix.lower() == ".svg" else None)


def _survivors(axes: Axes, stats: Stats) -> None:
    steps = [(step, gone) for step, gone in stats.removed.items() if gone.any()]
    labels = [f"{name}  {n}" for n, name in enumerate(stats.names, 1)]
    start = np.zeros(len(stats.systems), np.int64)
    for step, counts in [("negatives", stats.negatives), *steps]:
        axes.barh(labels, counts, left=start, label=step)
        start = start + counts
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(_THOUSANDS)
    axes.set(title="what becomes of the candidates", xlabel="candidates")
    axes.figure.legend(fontsize="small", loc="outside lower center", ncols=4)


def _overlap(axes: Axes, stats: Stats) -> None:
    own = np.maximum(np.diag(stats.overlap), 1)
    share = stats.overlap / own[:, None]
    axes.imshow(share, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    places: Any = np.arange(len(stats.systems))
    axes.set_xticks(places, places + 1)
    axes.set_yticks(places, places + 1)
    for (row, column), value in np.ndenumerate(share):
        colour = "white" if value > 0.5 else "black"
        axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize="small", color=colour)
    axes.set(
        title="negatives shared (% of the system's)",
        xlabel="the other system",
        ylabel="the system",
    )


def _margins(axes: Axes, stats: Stats, margin: float | None) -> None:
    axes.set(
        title="margins of what verdicts leave",
        xlabel="margin: lowest positive's ce_score - candidate's (logits)",
        ylabel="candidates",
    )
    axes.yaxis.set_major_formatter(_THOUSANDS)
    if not stats.margins.total:
        axes.text(0.5, 0.5, "not scored", ha="center", transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        return
    import matplotlib as mpl

    axes.set_prop_cycle(color=mpl.color_sequences["tab20"])
    # Bins of one width, so that heights compare.
    for name, histogram in zip(stats.names, stats.margins_by_system, strict=True):
        _draw(axes, histogram.at(stats.margins.width), name)
    if margin is not None:
        axes.axvline(margin, color="black", linestyle="--", label=f"margin {margin:g}")
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))


def _draw(axes: Axes, histogram: Histogram, name: str) -> None:
    if histogram.total:
        axes.stairs(histogram.counts, histogram.edges, label=name)
