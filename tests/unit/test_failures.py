"""What a failure means for a chunk: the policy of docs/reliability.md, row by row."""

from __future__ import annotations

import pytest

from services.errors import CheckFailed, InputError, Unavailable
from services.jobs.execute import _released
from services.jobs.failures import Blame, OverLimit, after, blame, describe
from services.jobs.identity import is_gone, me, show
from services.jobs.kind import Receipt
from services.jobs.records import Failure, Row

FAILURE = Failure(code="x", message="y")


def row(**fields: object) -> Row:
    return Row.model_validate(
        {
            "job": "j",
            "key": "000000",
            "step": "work",
            "kind": "k",
            "collection": "c",
            "queue": "cpu",
            "created": "",
            "state": "running",
            "worker": "w",
        }
        | fields
    )


class OutOfMemoryError(RuntimeError):
    """As torch names its own, without torch."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Unavailable("away"), "transient"),
        (ConnectionResetError(), "transient"),
        (TimeoutError(), "transient"),
        (MemoryError(), "resource"),
        (OutOfMemoryError("CUDA out of memory"), "resource"),
        (InputError("bad"), "final"),
        (CheckFailed("gate"), "final"),
        (KeyError("x"), "defect"),
        (OSError(28, "No space left"), "defect"),
        (OverLimit("slow"), "defect"),
    ],
)
def test_errors_are_classified(error: Exception, expected: Blame) -> None:
    assert blame(error) == expected


def test_a_new_attempt_is_a_new_fencing_token() -> None:
    new = after(row(attempt=4, progress=7), "defect", FAILURE, 5)
    assert (new.state, new.attempt, new.worker, new.progress, new.tries) == ("pending", 5, "", 0, 1)


def test_transient_failures_wait_longer_and_never_count() -> None:
    present = row()
    for n in range(50):
        present = after(present, "transient", FAILURE, 2)
        assert 0 <= present.wait <= min(300, 2 * 2 ** (n + 1))
    assert (present.state, present.tries, present.transients) == ("pending", 0, 50)


def test_defects_count_up_to_the_limit() -> None:
    assert after(row(tries=3), "defect", FAILURE, 5).state == "pending"
    assert after(row(tries=4), "defect", FAILURE, 5).state == "failed"


def test_memory_counts_and_halves_the_batch_but_not_below_the_smallest() -> None:
    new = after(row(batch_scale=0.5), "resource", FAILURE, 5)
    assert (new.tries, new.batch_scale) == (1, 0.25)
    assert after(row(batch_scale=1 / 256), "resource", FAILURE, 5).batch_scale == 1 / 256


def test_lost_workers_count_a_third_and_halve_the_batch_only_towards_the_end() -> None:
    present, scales = row(), []
    while (present := after(present, "lost", FAILURE, 2)).state == "pending":
        scales.append(present.batch_scale)
    assert scales == [1, 1, 1, 1, 1 / 2]
    assert (present.losses, present.tries, present.wait) == (6, 0, 0)


def test_failures_do_not_add_up_over_a_chunk_that_makes_progress() -> None:
    failed = row(tries=2, losses=1, transients=3, error=FAILURE)
    new = _released(failed, Receipt(facts={"step": 8}))
    assert (new.tries, new.losses, new.transients, new.error) == (0, 0, 0, None)
    assert (new.state, new.attempt, new.kept) == ("pending", 2, Receipt(facts={"step": 8}))


def test_a_chunk_that_is_paused_forgets_neither_its_failures_nor_what_it_has_kept() -> None:
    kept = Receipt(facts={"step": 8})
    new = _released(row(tries=2, losses=1, transients=3, error=FAILURE, kept=kept))
    assert (new.tries, new.losses, new.transients, new.error, new.kept) == (2, 1, 3, FAILURE, kept)


def test_wrong_input_is_final() -> None:
    new = after(row(), "final", FAILURE, 5)
    assert (new.state, new.error and new.error.chunk) == ("failed", "000000")


def test_a_defect_is_described_with_the_end_of_its_traceback() -> None:
    try:
        raise KeyError("pid")
    except KeyError as error:
        failure = describe(error)
    assert (failure.code, failure.message) == ("defect", "KeyError: 'pid'")
    assert "test_failures.py" in (failure.detail or "")


def test_an_error_of_ours_keeps_its_hint_and_needs_no_traceback() -> None:
    failure = describe(InputError("a.tsv:3: empty", hint="mend it"))
    assert (failure.code, failure.message, failure.hint, failure.detail) == (
        "bad_input",
        "a.tsv:3: empty",
        "mend it",
        None,
    )


def test_this_process_is_not_gone() -> None:
    assert not is_gone(me())
    assert show(me()).count("/") == 1


@pytest.mark.parametrize("strange", ["", "host", "host/1/0/elsewhere", "a/b/c/d", "host/99999999/0/there"])
def test_of_a_process_that_cannot_be_asked_nothing_is_said(strange: str) -> None:
    assert not is_gone(strange)


def test_a_process_of_this_machine_that_has_ended_is_gone() -> None:
    host, _, _, machine = me().split("/")
    assert is_gone(f"{host}/4194303/1/{machine}")  # beyond the greatest pid
    assert is_gone(f"{host}/1/1/{machine}")  # the pid of another, older process
