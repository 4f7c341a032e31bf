"""The loss curve as a word, for whoever watches."""

from __future__ import annotations

import pytest

from services.training.curve import sparkline


@pytest.mark.parametrize(
    ("losses", "word"),
    [
        ([0.7], "▁"),
        ([0.7, 0.7], "▁▁"),
        ([8.0, 4.0, 1.0], "█▄▁"),
        ([3.0, 1.0] * 8 + [0.0] * 16, "████▁▁▁▁"),
        ([float(n) for n in range(800)], "▁▂▃▄▅▆▇█"),
    ],
)
def test_a_curve_of_any_length_is_a_word_of_bars(losses: list[float], word: str) -> None:
    assert sparkline(losses, 8) == word
