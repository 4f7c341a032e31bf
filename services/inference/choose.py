"""Who computes: the models process, a foreign server, or this process."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit, urlunsplit

from services.errors import UsageError
from services.inference.channel import Channel
from services.inference.http import HttpModels
from services.inference.models import ModelService
from services.inference.prompts import Prompts
from services.inference.remembering import RememberingModels
from services.inference.servers import CohereServer, ModelsProcess, OpenAiServer, TeiServer
from services.inference.wire import LIVE
from services.settings import Settings
from services.stack import secrets
from services.stack.endpoints import models_url
from services.store import Store

if TYPE_CHECKING:
    from services.inference.local import LocalModels

HERE = "local"
"""As MSM_EMBED_URL or MSM_RERANK_URL: in this process."""
KEYS = {"embed": "embed_key", "rerank": "rerank_key"}
"""Files in MSM_SECRETS whose content is sent as bearer token, where they are there."""

_ALIVE = {"tei": "/health", "openai": "/v1/models", "cohere": "/v1/models"}
_SPEAKS = {"embed": ("tei", "openai"), "rerank": ("tei", "cohere")}


def models(settings: Settings, store: Store) -> ModelService:
    """The models of an installation, by MSM_EMBED_URL and MSM_RERANK_URL; to be closed.

    Each is empty (the local stack's models process; without a local stack, this process), `local`, the URL
    of a models process, or that of a foreign server after its dialect: `tei+http://…`, `openai+https://…`,
    `cohere+https://…`; `?model=NAME` where that calls the model otherwise.

    Raises:
        UsageError: a URL that is none of these.
    """
    made = _Made(settings, store)
    embed, rerank = settings.embed_url, settings.rerank_url
    return RememberingModels(HttpModels(made.embedder(embed), made.reranker(rerank)))


class _Made:
    """Servers; the same one for the same URL."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._here: LocalModels | None = None
        self._process: dict[str, ModelsProcess] = {}

    def embedder(self, url: str) -> LocalModels | ModelsProcess | TeiServer | OpenAiServer:
        """Who makes vectors."""
        dialect, base, name = self._resolved("embed", url)
        if dialect == "tei":
            return TeiServer(self._channel("embed", dialect, base), Prompts(self._store))
        if dialect == "openai":
            return OpenAiServer(self._channel("embed", dialect, base), Prompts(self._store), name)
        return self._ours("embed", base)

    def reranker(self, url: str) -> LocalModels | ModelsProcess | TeiServer | CohereServer:
        """Who scores."""
        dialect, base, name = self._resolved("rerank", url)
        if dialect == "tei":
            return TeiServer(self._channel("rerank", dialect, base), Prompts(self._store))
        if dialect == "cohere":
            return CohereServer(self._channel("rerank", dialect, base), name)
        return self._ours("rerank", base)

    def _resolved(self, what: str, url: str) -> tuple[str, str, str]:
        """Dialect (empty: ours), base URL (`HERE`: this process), the model's foreign name."""
        if not url:
            return "", models_url(self._settings) or HERE, ""
        if url == HERE:
            return "", HERE, ""
        parts = urlsplit(url)
        dialect, _, scheme = parts.scheme.rpartition("+")
        if scheme not in ("http", "https") or not parts.netloc or dialect not in ("", *_SPEAKS[what]):
            known = ", ".join(f"{dialect}+http://…" for dialect in _SPEAKS[what])
            raise UsageError(
                f"MSM_{what.upper()}_URL: '{url}' is no address of models",
                hint=f"http://HOST:PORT of a models process, {known}, or '{HERE}'; see docs/serving.md",
            )
        path = parts.path.rstrip("/").removesuffix("/v1")
        name = parse_qs(parts.query).get("model", [""])[0]
        return dialect, urlunsplit((scheme, parts.netloc, path, "", "")), name

    def _ours(self, what: str, base: str) -> LocalModels | ModelsProcess:
        if base == HERE:
            if self._here is None:
                from services.inference.local import LocalModels

                self._here = LocalModels(self._settings, self._store)
            return self._here
        if base not in self._process:
            self._process[base] = ModelsProcess(self._channel(what, "", base))
        return self._process[base]

    def _channel(self, what: str, dialect: str, base: str) -> Channel:
        path = secrets.password_file(self._settings, KEYS[what])
        key = secrets.password(self._settings, KEYS[what]) if path.is_file() else None
        return Channel(base, _ALIVE.get(dialect, LIVE), key)
