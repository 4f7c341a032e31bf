"""Both ways to the node: past the gateway and through it."""

from __future__ import annotations

import base64
import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from elasticsearch import Elasticsearch

from services.settings import Settings
from services.stack.secrets import password

WORDS = ("sea", "tide", "moon", "coffee", "steam", "engine", "cloud", "frost")


@dataclass(frozen=True)
class Ends:
    """Both ways to the node: past the gateway and through it."""

    settings: Settings
    node: str
    gateway: str

    def client(self, url: str, user: str = "admin", **more: Any) -> Elasticsearch:
        return Elasticsearch(
            url, basic_auth=(user, password(self.settings, user)), request_timeout=60, **more
        )

    def both(self, user: str = "admin", **more: Any) -> tuple[Elasticsearch, Elasticsearch]:
        return self.client(self.node, user, **more), self.client(self.gateway, user, **more)

    def raw(
        self, url: str, method: str, path: str, body: bytes | None = None, user: str = "admin", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body, exactly as they come."""
        parts = urlsplit(url)
        token = base64.b64encode(f"{user}:{password(self.settings, user)}".encode()).decode()
        said = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        wire = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        wire.putrequest(method, path, skip_accept_encoding=True)
        for name, value in said.items():
            wire.putheader(name, value)
        if body is not None:
            wire.putheader("Content-Length", str(len(body)))
        wire.endheaders(body)
        answer = wire.getresponse()
        found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        wire.close()
        return found

    def ask(self, path: str, body: Any, user: str = "admin") -> tuple[int, dict[str, str], Any]:
        """A search through the gateway."""
        status, headers, answer = self.raw(self.gateway, "POST", path, json.dumps(body).encode(), user)
        return status, headers, json.loads(answer)


def by_rrf(*lists: list[str], k: int = 60) -> list[tuple[str, float]]:
    """Reciprocal rank fusion, said once more."""
    scores: dict[str, float] = {}
    for ranked in lists:
        for rank, name in enumerate(ranked, 1):
            scores[name] = scores.get(name, 0.0) + 1 / (k + rank)
    return sorted(scores.items(), key=lambda item: -item[1])


def ids(answer: Any) -> list[str]:
    return [hit["_id"] for hit in answer["hits"]["hits"]]
