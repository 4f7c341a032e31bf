"""Make the files that containers start from: `python -m services.stack.provision FOLDER`.

Run once before Elasticsearch and Redis (docker-compose.yml: `secrets`), as root, so that each folder belongs
to the one user that mounts it. Run again, it keeps every password and only writes what follows from them.

```
FOLDER/setup/            every password: the source of all others
       elasticsearch/    users, users_roles, roles.yml (file realm: hashes only)
       redis/            redis.conf, redis (its own password, for the health check)
       kibana/           kibana.yml
       dispatcher/ worker/ models/ api/ gateway/ msmctl/   the passwords that it needs, and no others
```
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from services.settings import Settings, load
from services.stack import elasticsearch, redis, secrets

KIBANA = "kibana_server"
"""Kibana's own user, with the role that Elasticsearch reserves for it; `kibana` itself is a reserved name."""

COMPONENTS = {
    "setup": (*secrets.USERS, secrets.REDIS, secrets.SEARCHES, KIBANA),
    "dispatcher": ("dispatcher", secrets.REDIS),
    "worker": ("worker", secrets.REDIS),
    "api": ("api", "console", secrets.SEARCHES),
    "gateway": ("gateway", secrets.SEARCHES),
    "models": (),
    "msmctl": ("admin", secrets.SEARCHES),
}
OWNERS = {"elasticsearch": 1000, "redis": 999, "kibana": 1000}
"""User ids inside the official images; all other folders are for our own image's user."""
OURS = 10001


def provision(settings: Settings, folder: Path) -> None:
    """Write all files; passwords that are missing are made.

    Args:
        settings: Only the prefix counts.
        folder: Where to; becomes readable by name for all, its folders by their owners only.
    """
    source = settings.model_copy(update={"secrets": str(folder / "setup")})
    secrets.ensure(source, COMPONENTS["setup"])
    users = {user: f"{settings.prefix}_{user}" for user in secrets.USERS} | {KIBANA: "kibana_system"}
    files = {"elasticsearch": elasticsearch.file_realm(source, users)}
    broker, dashboard = (secrets.password(source, user) for user in (secrets.REDIS, KIBANA))
    files["redis"] = {
        "redis.conf": redis.configuration("0.0.0.0", 6379, Path("/data"), broker),  # noqa: S104 - in a container
        "redis": broker + "\n",
    }
    files["kibana"] = {
        "kibana.yml": f'elasticsearch.username: "{KIBANA}"\nelasticsearch.password: "{dashboard}"\n'
    }
    for component, users_of_it in COMPONENTS.items():
        files[component] = {user: secrets.password(source, user) + "\n" for user in users_of_it}
    for component, texts in files.items():
        _write(folder / component, texts, OWNERS.get(component, OURS))


def _write(folder: Path, texts: dict[str, str], owner: int) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in texts.items():
        secrets.write(folder / name, text)
    if os.geteuid() == 0:
        for path in (folder, *(folder / name for name in texts)):
            os.chown(path, owner, owner)


def main() -> None:
    """Command line of the one-shot service."""
    parser = argparse.ArgumentParser(prog="python -m services.stack.provision", description="Make secrets.")
    parser.add_argument("folder", type=Path)
    provision(load(), parser.parse_args().folder)


if __name__ == "__main__":
    main()
