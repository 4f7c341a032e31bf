"""The stack's HTTP service, asked with keys of every sort."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from services.api.keys.key import Key, Scope, mint
from services.api.keys.store import KeyStore
from services.elastic.client import connect
from services.settings import Settings


@dataclass(frozen=True)
class Api:
    """The service of a stack.

    Attributes:
        settings: Of the stack.
        url: Where it answers.
        collection: One that is served.
    """

    settings: Settings
    url: str
    collection: str

    @property
    def store(self) -> KeyStore:
        """Where keys are."""
        return KeyStore(connect(self.settings), self.settings)

    def key(self, *scopes: Scope, **more: Any) -> str:
        """A new key, as its owner has it."""
        kept, text = mint(scopes or ("admin",), name="test", **more)
        self.store.add(kept)
        return text

    def expired(self) -> str:
        """A key whose time is over."""
        kept, text = mint(["admin"])
        past = kept.model_copy(update={"expires": datetime.fromisoformat("2020-01-01T00:00:00+00:00")})
        self.store.add(Key.model_validate(past.model_dump()))
        return text

    def client(self, key: str | None = None, **more: Any) -> httpx.Client:
        """A client that sends a key, or none."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False, **more)


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem that an answer is; it must have this status and tell its remedy."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = answer.json()
    assert said["status"] == status
    assert said["code"]
    assert said["detail"]
    assert said["request_id"] == answer.headers["x-request-id"]
    return said
