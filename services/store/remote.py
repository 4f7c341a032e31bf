"""A remote file system whose refusals are errors with a remedy.

A backend speaks in exceptions of its own: s3fs in Python's for what S3 answered (with S3's answer as the
cause), in botocore's for what never got there. They are known by name, so that no backend is imported.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from services.errors import AuthError, MsmError, NotFound, Unavailable, first_line

_NOT_LET_IN = frozenset(
    {
        "PermissionError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "TokenRetrievalError",
        "SSOError",
        "ProfileNotFound",
        "DefaultCredentialsError",  # Google's
        "ClientAuthenticationError",  # Azure's
    }
)
_AWAY = frozenset({"ConnectionError", "TimeoutError", "HTTPClientError"})
_BUSY = (errno.EBUSY, errno.EREMOTEIO)  # s3fs: slow down, unavailable, internal error


class Remote:
    """An fsspec file system; each of its methods raises as `answering` says."""

    def __init__(self, fs: Any, url: str) -> None:
        self._fs = fs
        self._url = url

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._fs, name)
        return answering(self._url)(found) if callable(found) else found


@contextmanager
def answering(url: str) -> Iterator[None]:
    """Turn what a backend refuses into an error with a remedy; that an object is missing stays as it is.

    Raises:
        AuthError: credentials are missing, wrong or not sufficient.
        Unavailable: the service does not answer, or is too busy to.
        NotFound: there is no such bucket.
        MsmError: it refuses for another reason.
    """
    try:
        yield
    except Exception as error:
        found = _in_our_words(error, f"store '{url}'")
        if found is None:
            raise
        raise found from error


def _in_our_words(error: Exception, store: str) -> MsmError | None:
    names = {kind.__name__ for kind in type(error).__mro__}
    answer = getattr(error.__cause__, "response", None)
    said = f"{store}: {first_line(error)}"
    if isinstance(error, FileNotFoundError):
        if not answer or answer["Error"].get("Code") != "NoSuchBucket":
            return None
        return NotFound(said, hint="make the bucket, or name another one in MSM_STORE")
    if names & _NOT_LET_IN:
        return AuthError(
            said,
            hint="give credentials that may read and write there, as the backend takes them "
            "(S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the machine's role)",
        )
    if names & _AWAY or (answer and getattr(error, "errno", None) in _BUSY):
        return Unavailable(said, hint="check the network and the address (S3: AWS_ENDPOINT_URL), then again")
    if answer or "BotoCoreError" in names:
        return MsmError(
            said, hint="check MSM_STORE and the backend's settings (S3: AWS_REGION, AWS_ENDPOINT_URL)"
        )
    return None
