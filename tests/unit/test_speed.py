"""How long blocks take, learned from those of late."""

from __future__ import annotations

import random

import pytest

from services.inference.speed import Speed


def test_before_a_block_was_measured_the_guess_holds() -> None:
    speed = Speed(0.001)
    assert speed.seconds(50) == pytest.approx(0.05)
    assert speed.tokens(0.05) == pytest.approx(50)


def test_blocks_of_many_sizes_tell_the_fixed_part_from_that_of_each_token() -> None:
    speed, draw = Speed(1e-6), random.Random(1)
    for _ in range(200):
        tokens = draw.choice([8, 64, 512, 2048])
        speed.took(tokens, 0.02 + 0.0005 * tokens)
    assert speed.per_token == pytest.approx(0.0005, rel=0.1)
    assert speed.seconds(1000) == pytest.approx(0.52, rel=0.1)
    assert speed.tokens(0.52) == pytest.approx(1000, rel=0.1)


def test_small_blocks_alone_correct_a_guess_that_was_far_too_good() -> None:
    speed = Speed(1e-6)
    for _ in range(3):
        speed.took(16, 0.2)
    assert speed.seconds(16) == pytest.approx(0.2, rel=0.01)


def test_of_blocks_of_one_size_every_token_is_thought_to_take_its_share() -> None:
    speed = Speed(1e-6)
    for _ in range(50):
        speed.took(100, 0.1)
    assert speed.fixed == pytest.approx(0.0, abs=1e-9)
    assert speed.seconds(200) == pytest.approx(0.2)


def test_what_was_long_ago_is_forgotten() -> None:
    speed = Speed(1e-6)
    for _ in range(50):
        speed.took(100, 10.0)
    for _ in range(60):
        speed.took(100, 0.1)
    assert speed.seconds(100) < 0.15


def test_however_measurements_scatter_time_is_positive_and_grows_with_tokens() -> None:
    speed, draw = Speed(1e-6), random.Random(2)
    for _ in range(500):
        speed.took(draw.randrange(2048), draw.choice([0.0, 1e-4, 0.01, 3.0]))
        assert speed.fixed >= 0
        assert 0 < speed.seconds(10) < speed.seconds(100)
        assert speed.tokens(speed.fixed / 2) == 0.0


def test_one_block_that_was_stalled_is_not_believed_for_long() -> None:
    speed = Speed(1e-6)
    for _ in range(20):
        speed.took(100, 0.1)
    speed.took(100, 60.0)
    assert speed.seconds(100) < 0.2


def test_what_was_measured_just_now_is_believed_whatever_is_given_up_for_it() -> None:
    speed = Speed(1e-6)
    speed.took(100, 10.0)
    for _ in range(200):
        speed.skipped()
    assert speed.seconds(100) == pytest.approx(10.0)


def test_a_slow_spell_is_believed_less_where_work_is_given_up_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.inference.speed._FRESH", 0.0)
    speed = Speed(1e-6)
    speed.took(100, 10.0)
    for _ in range(200):
        speed.skipped()
    assert speed.seconds(100) < 0.1
    for _ in range(20):
        speed.took(100, 10.0)
    assert speed.seconds(100) > 5, "and a model that is still slow is believed again"
