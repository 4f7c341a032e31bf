"""Progress on stderr with rate and time left: a bar on a terminal, elsewhere a line every 10 s or 5 %."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from services.counted import counted

LINE_SECONDS = 10.0
LINE_FRACTION = 0.05
_REDRAW_SECONDS = 0.1
_QUIET_SECONDS = 1.0  # a burst of small steps prints no flood of lines

Show = Callable[[float | None, str], None]


class Progress:
    """Counts what is done. Made by `progress`.

    Attributes:
        total: What there is to do, or None while that is unknown; may be set later.
        before: What had been done when it began: it counts in no rate.
        done: What has been done, with that.
        note: A word that is shown behind the figures, such as the present step.
    """

    def __init__(
        self,
        total: int | None,
        label: str,
        unit: str,
        before: int,
        show: Show,
        due: Callable[[Progress], bool],
    ) -> None:
        self.total = total
        self.label = label
        self.before = self.done = before
        self.note = ""
        self._unit = unit
        self._show = show
        self._due = due
        self._fraction: float | None = None
        self.shown_at = self.started = time.monotonic()
        self.shown_fraction = self.fraction or 0.0

    def advance(self, n: int = 1, *, fraction: float | None = None) -> None:
        """Add `n` to what is done.

        Args:
            n: How many more are done; 0 only redraws.
            fraction: Share of the whole work done, 0 to 1, where `total` is unknown but this is not
                (bytes read of a file, for one).
        """
        self.done += n
        if fraction is not None:
            self._fraction = fraction
        if self._due(self):
            self._show(self.fraction, self.line())
            self.shown_at, self.shown_fraction = time.monotonic(), self.fraction or 0.0

    @property
    def fraction(self) -> float | None:
        """Share of the work that is done, or None."""
        if self.total:
            return min(1.0, self.done / self.total)
        return self._fraction

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self.started

    def line(self) -> str:
        """Figures for people: done, rate, time left."""
        of = f"/{self.total:,}" if self.total else ""
        done = f"{self.done:,}{of} {self._unit}".rstrip() if of else self._counted(self.done)
        parts = [done, f"{_figure(self._rate())}/s"]
        fraction, begun = self.fraction or 0.0, self.before / self.total if self.total else 0.0
        if fraction > begun:
            parts.append(f"{clock(self.seconds * (1 - fraction) / (fraction - begun))} left")
        return ", ".join(parts + ([self.note] if self.note else []))

    def summary(self) -> str:
        """The last line: what was done since it began."""
        done = self._counted(self.done - self.before)
        return f"{self.label}: {done} in {clock(self.seconds)} ({_figure(self._rate())}/s)"

    def _rate(self) -> float:
        return (self.done - self.before) / self.seconds if self.seconds > 0 else 0.0

    def _counted(self, done: int) -> str:
        return counted(done, self._unit) if self._unit else f"{done:,}"


def to(bar: Progress, done: int) -> None:
    """Bring a bar to a figure."""
    bar.advance(done - bar.done)


@contextmanager
def progress(total: int | None, label: str, unit: str = "", *, before: int = 0) -> Iterator[Progress]:
    """Show the progress of the block on stderr.

    Args:
        total: What there is to do; None where that is not known.
        label: What is going on, such as `encode squad`.
        unit: What is counted, such as `passages`.
        before: What was done already.

    Example:
        `with progress(len(rows), "index squad", "passages") as bar: bar.advance(500)`
    """
    draw = _bar if sys.stderr.isatty() else _lines
    with draw(total, label, unit, before) as shown:
        yield shown
    if shown.done > before:
        click.echo(shown.summary(), err=True)


def clock(seconds: float) -> str:
    """`4.2 s`, `3:07` or `1:02:03`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _figure(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


@contextmanager
def _lines(total: int | None, label: str, unit: str, before: int) -> Iterator[Progress]:
    def due(bar: Progress) -> bool:
        idle = time.monotonic() - bar.shown_at
        step = (bar.fraction or 0.0) - bar.shown_fraction
        return idle >= LINE_SECONDS or (step >= LINE_FRACTION and idle >= _QUIET_SECONDS)

    def show(fraction: float | None, line: str) -> None:
        click.echo(f"{label}: " + (f"{fraction:.0%}, " if fraction is not None else "") + line, err=True)

    yield Progress(total, label, unit, before, show, due)


@contextmanager
def _bar(total: int | None, label: str, unit: str, before: int) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"))
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None, figures="")

        def show(fraction: float | None, line: str) -> None:
            bar.update(task, figures=line, total=None if fraction is None else 1.0, completed=fraction or 0.0)

        def due(shown: Progress) -> bool:
            return time.monotonic() - shown.shown_at >= _REDRAW_SECONDS

        yield Progress(total, label, unit, before, show, due)
