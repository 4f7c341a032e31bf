"""Make a new cluster ours: `python -m services.stack.setup` (docker-compose.yml: `setup`). May run again.

Waits for Elasticsearch and Redis, checks that every user has its role, and puts index templates of the
ledger and of keys, so that these indices have their mapping whoever makes them.
"""

from __future__ import annotations

import sys
import time

from services.elastic.client import connect
from services.elastic.errors import translated
from services.elastic.mapping import template
from services.errors import AuthError, MsmError, Unavailable
from services.settings import Settings, load
from services.stack import probes, secrets
from services.stack.endpoints import endpoints
from services.stack.processes import Probe

PATIENCE = 300.0
TABLES = ("jobs", "chunks", "dead", "keys")


def setup(settings: Settings, patience: float = PATIENCE) -> None:
    """Check users, put templates.

    Raises:
        Unavailable: Elasticsearch or Redis does not answer within `patience` seconds.
        AuthError: a user lacks its role.
    """
    where = endpoints(settings)
    _wait("Elasticsearch", lambda: probes.elasticsearch(settings, where.es_url), patience)
    _wait("Redis", lambda: probes.redis(settings, where.redis_url), patience)
    for user in secrets.USERS:
        with translated("setup"):
            roles = connect(settings, user).security.authenticate()["roles"]
        if f"{settings.prefix}_{user}" not in roles:
            raise AuthError(
                f"user '{user}' has the roles {roles}, not {settings.prefix}_{user}",
                hint="Elasticsearch's users_roles and roles.yml are older than the secrets: "
                "restart it after `docker compose run --rm secrets`",
            )
    client = connect(settings, "admin")
    for table in TABLES:
        with translated("setup"):
            client.indices.put_index_template(
                name=settings.index(table), template=template(table), index_patterns=[settings.index(table)]
            )
        print(f"template {settings.index(table)}", file=sys.stderr)


def _wait(name: str, probe: Probe, patience: float) -> None:
    limit = time.monotonic() + patience
    while reason := probe():
        if time.monotonic() > limit:
            raise Unavailable(f"{name}: {reason}", hint="docker compose ps; docker compose logs")
        time.sleep(1.0)


if __name__ == "__main__":
    try:
        setup(load())
    except MsmError as error:
        sys.exit(f"error: {error.message}\nhint: {error.hint}")
