"""The errors that a user may see: what happened, where, and what to do next.

The command line maps them to exit codes, the API to problem+json. Anything that is not an
`MsmError` is a defect of ours.
"""

from __future__ import annotations


class MsmError(Exception):
    """Base of all errors with a remedy.

    Args:
        message: What happened and where (file:line, index, system, chunk).
        hint: What the user can do next, preferably a command.
    """

    code = "failed"
    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def as_dict(self) -> dict[str, str | None]:
        """The error as the `--json` and problem+json bodies carry it."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class InputError(MsmError):
    """The user's data (file, row, model folder) is not what it should be."""

    code = "bad_input"


class CheckFailed(MsmError):
    """A check that was asked for (gate, verify) found something."""

    code = "check_failed"


class UsageError(MsmError):
    """The request itself makes no sense: unknown option value, contradictory options."""

    code = "usage"
    exit_code = 2


class DeadRows(MsmError):
    """The work is complete but for rows that could not be processed (see `msmctl jobs show`)."""

    code = "dead_rows"
    exit_code = 3


class AuthError(MsmError):
    """Credentials are missing, wrong or not sufficient."""

    code = "auth"
    exit_code = 4


class Unavailable(MsmError):
    """A service cannot be reached. Transient: jobs wait and try again."""

    code = "unavailable"
    exit_code = 5


class Overloaded(Unavailable):
    """A service has more to do than it may keep waiting.

    Args:
        retry_after: Seconds after which it is worth another try.
    """

    code = "overloaded"

    def __init__(self, message: str, *, retry_after: float = 1.0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class TooLate(MsmError):
    """The deadline of a request passed before there was an answer."""

    code = "too_late"


class Conflict(MsmError):
    """The present state forbids the request (name taken, job still open, precondition failed)."""

    code = "conflict"
    exit_code = 6


class NotFound(MsmError):
    """The named thing does not exist."""

    code = "not_found"
    exit_code = 7


class TimedOut(MsmError):
    """The command waited as long as it was told to (`--timeout`); its jobs go on."""

    code = "timeout"
    exit_code = 124


def first_line(error: BaseException) -> str:
    """What a foreign exception says, in one line; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def without_frames(error: BaseException) -> None:
    """Forget where an error, and those that led to it, came through: for one that is kept as a value.

    Frames know the error in turn. Such circles are freed by Python's collector of garbage only, which stops
    everything for as long as there is much of it: where each of many requests runs out of time, tenths of a
    second.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            others = getattr(one, "errors", ())  # elastic_transport keeps those of earlier attempts there
            tried = others if isinstance(others, tuple | list) else ()
            waiting += (one.__cause__, one.__context__, *(e for e in tried if isinstance(e, BaseException)))
