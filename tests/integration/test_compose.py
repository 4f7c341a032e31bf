"""Each of our own services' commands from docker-compose.yml, as a local process, in dependency order.

The environment is the compose file's own; only what a container would see under a name of its own (paths,
host names, the port) is mapped to where it is on this machine.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.stack import provision
from services.stack.endpoints import endpoints
from tests import compose_kit
from tests.compose_kit import Service
from tests.conftest import MSMCTL, Stack

PROGRAMS = {"python": sys.executable, "msmctl": str(MSMCTL)}
LONG_RUNNING = ("dispatcher", "worker-cpu", "models", "api", "gateway")


class Containers:
    """Our services, started by hand."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.secrets = folder / "secrets"
        self.log = folder / "logs"
        self.log.mkdir()
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._folder = folder
        where = endpoints(stack.settings)
        with ExitStack() as held:
            servers = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
            port, models, gateway = (str(server.getsockname()[1]) for server in servers)
        (folder / "data").mkdir()
        self._mapping = {
            "http://elasticsearch:9200": where.es_url,
            "redis://redis:6379/0": where.redis_url,
            "/store": stack.settings.store_url,
            "0.0.0.0": "127.0.0.1",
            "8000": port,
            "8080": models,
            "9201": gateway,
            "http://models:8080": f"http://127.0.0.1:{models}",
        }

    def _mapped(self, name: str, text: str) -> str:
        text = {"/secrets": str(self.secrets), **self._mapping}.get(text, text)
        for inside in ("8000", "8080", "9201"):
            text = text.replace(f"127.0.0.1:{inside}", f"127.0.0.1:{self._mapping[inside]}")
        if text == "/run/secrets":
            return str(self.secrets / compose_kit.secrets_of(compose_kit.services()[name])[0])
        if text in ("/state", "/tmp/heartbeat", "/tmp"):
            return str(self._folder / f"{name}{text.replace('/', '-')}")
        return text

    def command(self, name: str, words: list[str]) -> list[str]:
        """The words, with our programs and this machine's places."""
        return [PROGRAMS.get(words[0], words[0]), *(self._mapped(name, word) for word in words[1:])]

    def environment(self, name: str, service: Service) -> dict[str, str]:
        """The compose file's environment and nothing of our own but PATH."""
        given = {key: self._mapped(name, value or "") for key, value in service["environment"].items()}
        Path(given["MSM_HOME"]).mkdir(exist_ok=True)
        return {"PATH": os.environ["PATH"], **given}

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A one-shot service to its end."""
        service = compose_kit.services()[name]
        words = [*service.get("entrypoint", []), *(arguments or service["command"])]
        return subprocess.run(
            self.command(name, words),
            env=self.environment(name, service),
            cwd=self._folder / "data",
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )

    def start(self, name: str) -> None:
        """A long-running service."""
        service = compose_kit.services()[name]
        with (self.log / name).open("wb") as log:
            self.running[name] = subprocess.Popen(
                self.command(name, service["command"]),
                env=self.environment(name, service),
                cwd=self._folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def healthy(self, name: str) -> bool:
        """What its health check says."""
        service = compose_kit.services()[name]
        kind, *words = service["healthcheck"]["test"]
        assert kind == "CMD"
        done = subprocess.run(
            self.command(name, words), env=self.environment(name, service), capture_output=True
        )
        return done.returncode == 0

    def stop(self, name: str) -> int:
        """SIGTERM, and the exit status within its grace period."""
        self.running[name].send_signal(signal.SIGTERM)
        return self.running[name].wait(timeout=60)


@pytest.fixture(scope="module")
def containers(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    containers = Containers(stack, tmp_path_factory.mktemp("compose"))
    # Elasticsearch and Redis are the test run's own: their passwords are there before `secrets` runs.
    (containers.secrets / "setup").mkdir(parents=True)
    for path in stack.settings.secrets_dir.iterdir():
        shutil.copy(path, containers.secrets / "setup")
    yield containers
    for process in containers.running.values():
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.slow
def test_our_services_start_in_dependency_order_become_healthy_work_and_end(containers: Containers) -> None:
    order = [
        name
        for name in compose_kit.in_order(compose_kit.enabled({"cli"}))
        if name in compose_kit.ours(compose_kit.services())
    ]
    assert order[:2] == ["secrets", "setup"]
    for name in order:
        if name in LONG_RUNNING:
            containers.start(name)
        else:
            done = containers.run(name)
            assert done.returncode == 0, done.stdout + done.stderr
    limit = time.monotonic() + 90
    waiting = set(LONG_RUNNING)
    while waiting:
        waiting -= {name for name in waiting if containers.healthy(name)}
        assert time.monotonic() < limit, {
            name: (containers.log / name).read_text()[-2000:] for name in waiting
        }
        for name in waiting:
            assert containers.running[name].poll() is None, (containers.log / name).read_text()[-2000:]
    answer = containers.run("msmctl", "jobs", "ls", "--json")
    assert answer.returncode == 0, answer.stderr
    for name in reversed(LONG_RUNNING):
        # uvicorn ends with the signal itself once it has finished its requests.
        assert containers.stop(name) in (0, -signal.SIGTERM), (containers.log / name).read_text()[-2000:]


def test_setup_names_a_user_that_elasticsearch_does_not_know(containers: Containers) -> None:
    assert containers.run("secrets").returncode == 0
    path = containers.secrets / "setup" / "reader"
    before = path.read_text()
    path.write_text("another\n")
    done = containers.run("setup")
    path.write_text(before)
    assert done.returncode == 1
    assert "error:" in done.stderr


def test_secrets_are_written_for_the_users_of_the_images(containers: Containers) -> None:
    assert containers.run("secrets").returncode == 0
    if os.geteuid() == 0:
        owners = {path.name: path.stat().st_uid for path in containers.secrets.iterdir()}
        assert owners["elasticsearch"] == provision.OWNERS["elasticsearch"]
        assert owners["worker"] == provision.OURS
