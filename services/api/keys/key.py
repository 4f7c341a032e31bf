"""A key: `msm_<id>_<secret>`. The id finds it, the secret proves it; only the secret's hash is kept.

A secret is 32 random bytes, so that one round of SHA-256 is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from services.errors import UsageError

Scope = Literal["search", "embed", "admin"]
State = Literal["active", "expired", "revoked"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_FORM = re.compile(r"msm_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
_LONGEST_NAME = 100
_SPAN = re.compile(r"([1-9]\d{0,5})([mhd])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Key(BaseModel):
    """What is kept of a key.

    Attributes:
        id: 12 hexadecimal digits.
        hash: SHA-256 of the secret, hexadecimal.
        scopes: What it may do; `admin` may do everything.
        collections: Those that it may ask; none named: all.
        rate: Requests per minute; None: as many as it likes.
        expires: From then on it is refused; None: never.
        revoked: Since when it is refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    hash: str
    name: str = ""
    scopes: tuple[Scope, ...] = Field(min_length=1)
    collections: tuple[str, ...] = ()
    rate: int | None = Field(None, ge=1, le=1_000_000)
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None

    def state(self, now: datetime) -> State:
        """Whether it counts."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"

    def has(self, scope: Scope) -> bool:
        """Whether it may do this."""
        return scope in self.scopes or "admin" in self.scopes

    def reaches(self, collection: str) -> bool:
        """Whether it may ask this collection."""
        return not self.collections or collection in self.collections

    def as_dict(self, now: datetime) -> dict[str, object]:
        """What may be shown: everything but the hash."""
        return self.model_dump(mode="json", exclude={"hash"}) | {"state": self.state(now)}


def mint(
    scopes: Sequence[Scope],
    *,
    name: str = "",
    collections: Sequence[str] = (),
    rate: int | None = None,
    expires: datetime | None = None,
) -> tuple[Key, str]:
    """A new key: what is kept, and the text that its owner gets, once.

    Raises:
        UsageError: it would have expired already, or the name cannot be shown in a list.
    """
    now = datetime.now(UTC)
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(f"a key's name is at most {_LONGEST_NAME} printable characters", hint="--name shop")
    if expires is not None and expires <= now:
        raise UsageError(f"the key would have expired at {expires:%Y-%m-%d %H:%M} UTC", hint="--expires 30d")
    identity, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    kept = Key(
        id=identity,
        hash=hashed(secret),
        name=name,
        scopes=tuple(dict.fromkeys(scopes)),
        collections=tuple(dict.fromkeys(collections)),
        rate=rate,
        created=now.replace(microsecond=0),
        expires=expires,
    )
    return kept, f"msm_{identity}_{secret}"


def parse(text: str) -> tuple[str, str] | None:
    """Id and secret of a key as its owner has it; None where it has not the form of a key."""
    found = _FORM.fullmatch(text)
    return (found[1], found[2]) if found else None


def hashed(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def parse_expiry(text: str) -> datetime:
    """A moment from `30d`, `12h`, `45m`, or an ISO date or time (UTC unless it says otherwise).

    Raises:
        UsageError: it is none of these.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    if found := _SPAN.fullmatch(text):
        return now + timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"'{text}' is no expiry", hint="such as 30d, 12h, 2027-01-31 or 2027-01-31T12:00"
        ) from None
