"""A query's name in the log: equal texts have equal names, and the name does not tell the text.

The hash is keyed. Queries are short and guessable: whoever may read the log could hash a list of likely ones
and look them up, were the hash a plain one. The key is a secret of the installation, so that every process of
it gives a query the same name; who has the key can ask for a query by its name (`msmctl kibana hash`).
"""

from __future__ import annotations

import hashlib
import unicodedata

from services.settings import Settings
from services.stack import secrets

_BYTES = 16


class QueryHash:
    """Names queries with one key.

    Args:
        key: Of at least 16 bytes; more than 64 do not fit the hash and are hashed first.
    """

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.blake2b(key).digest()

    @classmethod
    def of(cls, settings: Settings) -> QueryHash:
        """With the installation's key; AuthError where there is none."""
        return cls(secrets.password(settings, secrets.SEARCHES).encode())

    def __call__(self, query: str) -> str:
        """Of a text without regard to case, form of characters and white space, which seldom mean a thing."""
        text = " ".join(unicodedata.normalize("NFKC", query).casefold().split())
        return hashlib.blake2b(
            text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=_BYTES
        ).hexdigest()
