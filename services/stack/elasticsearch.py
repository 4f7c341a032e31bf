"""Elasticsearch's configuration: one node on loopback, security on, users from files.

Users, their bcrypt hashes and roles are written directly (file realm), so that no secret is ever on a
command line; Elasticsearch reads changed files again within seconds.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

import bcrypt
import psutil

from services.settings import Settings
from services.stack import secrets
from services.stack.distribution import Distribution
from services.stack.layout import Layout
from services.stack.ports import HOST

MIB = 1024 * 1024
BCRYPT_ROUNDS = 10  # enough for 32 random bytes; every first login of a user pays for it

SETTINGS = """\
cluster.name: $prefix
node.name: $prefix
path.data: "$folder/data"
path.logs: "$folder/tmp"
http.host: $host
http.port: $port
transport.host: $host
transport.port: $transport
discovery.type: single-node
action.auto_create_index: false
# In percent of the disk: the defaults suit servers, not a laptop that is 90 % full.
cluster.routing.allocation.disk.watermark.low: 97%
cluster.routing.allocation.disk.watermark.high: 98%
cluster.routing.allocation.disk.watermark.flood_stage: 99%
xpack.security.enabled: true
xpack.security.enrollment.enabled: false
xpack.security.http.ssl.enabled: false
xpack.security.transport.ssl.enabled: false
xpack.security.authc.realms.file.file.order: 0
"""

# Modules that only the full distribution has, and what they would do on a machine of a single user.
OPTIONAL = {"x-pack-ml": "xpack.ml.enabled: false", "ingest-geoip": "ingest.geoip.downloader.enabled: false"}

# To the console only, where the supervisor keeps it within bounds with every other log.
LOGGING = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] [%node_name]%marker %m%consoleException%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""


def memory() -> int:
    """Bytes of memory that we may use: the machine's, or the control group's limit if that is lower."""
    total = psutil.virtual_memory().total
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(path).read_text()))
        except (OSError, ValueError):
            continue
    return int(total)


def heap(settings: Settings, total: int) -> str:
    """The heap: MSM_ES_HEAP, else a sixteenth of the memory, within 512 MiB and 4 GiB, at most a quarter."""
    if settings.es_heap:
        return settings.es_heap
    return f"{min(max(total // 16, 512 * MIB), 4096 * MIB, total // 4) // MIB}m"


def roles(settings: Settings) -> str:
    """The roles of es_mappings/roles.yml with this installation's prefix, as YAML."""
    return Template((files("es_mappings") / "roles.yml").read_text("utf-8")).substitute(
        prefix=settings.prefix
    )


def configure(settings: Settings, layout: Layout, distribution: Distribution, ports: dict[str, int]) -> None:
    """Write ES_PATH_CONF anew; the keystore in it stays."""
    lines = [
        Template(SETTINGS).substitute(
            prefix=settings.prefix,
            folder=layout.elastic,
            host=HOST,
            port=ports["elasticsearch"],
            transport=ports["elasticsearch_transport"],
        )
    ]
    lines += [
        line + "\n" for module, line in OPTIONAL.items() if (distribution.home / "modules" / module).is_dir()
    ]
    written = {
        "elasticsearch.yml": "".join(lines),
        "log4j2.properties": LOGGING,
        "jvm.options": _options(settings, distribution),
    } | file_realm(settings, {user: f"{settings.prefix}_{user}" for user in secrets.USERS})
    for name, text in written.items():
        path = layout.elastic / "config" / name
        secrets.write(path, text)
        layout.give(path)


def _options(settings: Settings, distribution: Distribution) -> str:
    """The distribution's options with our heap and without the log of garbage collections (2 GB)."""
    lines = (distribution.home / "config" / "jvm.options").read_text("utf-8").splitlines()
    lines = [line for line in lines if "-Xlog:gc" not in line]
    size = heap(settings, memory())
    lines += [f"-Xms{size}", f"-Xmx{size}"]
    if not distribution.full:
        # It would copy the built-in roles to an index that needs the absent filters, and complain for ever.
        lines.append("-Des.queryable_built_in_roles_enabled=false")
    return "\n".join(lines) + "\n"


def file_realm(settings: Settings, users: Mapping[str, str]) -> dict[str, str]:
    """The files of the realm by name: users with bcrypt hashes of their secrets, their role, all roles.

    Args:
        settings: Prefix and secrets.
        users: Role of each user.
    """
    return {
        "roles.yml": roles(settings),
        "users": "".join(f"{user}:{_hash(secrets.password(settings, user))}\n" for user in users),
        "users_roles": "".join(f"{role}:{user}\n" for user, role in users.items()),
    }


def _hash(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(BCRYPT_ROUNDS)).decode()


def environment(layout: Layout, distribution: Distribution) -> dict[str, str]:
    """What `bin/elasticsearch` needs to know."""
    java = {"ES_JAVA_HOME": str(distribution.java)} if distribution.java else {}
    return java | {
        "ES_PATH_CONF": str(layout.elastic / "config"),
        "ES_TMPDIR": str(layout.elastic / "tmp"),
        "HOME": str(layout.elastic / "tmp"),
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
    }


def command(distribution: Distribution) -> list[str]:
    """The node's command line; no secret in it."""
    return [shutil.which("bash") or "/bin/bash", str(distribution.home / "bin" / "elasticsearch")]
