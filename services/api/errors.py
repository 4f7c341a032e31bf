"""Errors of the HTTP service alone."""

from __future__ import annotations

from services.errors import AuthError, Overloaded, UsageError


class Unauthenticated(AuthError):
    """There is no key, or none that counts."""


class Forbidden(AuthError):
    """The key may not do this, or not with this collection."""


class TooOften(Overloaded):
    """The key asks more often than it may."""


class TooLarge(UsageError):
    """The body is larger than the service reads."""


class TooSlow(UsageError):
    """The body did not arrive in time."""
