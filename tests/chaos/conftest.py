"""A stack of its own for the tests that kill."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator

import pytest

from services.jobs.context import context_for, open_ledger
from services.settings import load
from services.stack import control
from services.stack.layout import Layout
from tests.chaos.chaos_stack import HOME, SEED, Chaos
from tests.conftest import starts_quickly


@pytest.fixture(scope="package")
def chaos_stack(_own_environment: None) -> Iterator[Chaos]:
    """The stack: made anew, ended before the tests of other folders, which need the cores."""
    settings = load(home=HOME, lease_seconds=3.0, window=6, es_heap="512m")
    control.down(settings, print)
    shutil.rmtree(Layout.of(settings).elastic, ignore_errors=True)
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.parent.mkdir(exist_ok=True)
    starts_quickly(settings)
    chaos = Chaos(settings, None, random.Random(SEED))  # type: ignore[arg-type] # opened below
    try:
        chaos.up()
        chaos.ledger = open_ledger(context_for(settings))
        yield chaos
    finally:
        control.down(settings, print)


@pytest.fixture
def chaos(chaos_stack: Chaos) -> Chaos:
    """The stack, whole at the beginning of each test."""
    chaos_stack.up()
    return chaos_stack
