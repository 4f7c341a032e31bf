"""What tests share: one real stack per run, and the real command line.

MSM_TEST_STACK=keep leaves the stack running; the next run uses it. Several runs at a time share it, and
the last one to end stops it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from services.settings import Settings, load
from services.stack import control
from services.stack.layout import Layout
from services.stack.status import supervisor_of

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".cache" / "test-home"
MSMCTL = Path(sys.executable).parent / "msmctl"
DATA = ROOT.parent / "shared" / "data"


@dataclass(frozen=True)
class Stack:
    """The running stack of this test run."""

    settings: Settings
    home: Path


@dataclass(frozen=True)
class Answer:
    """What a command gave."""

    code: int
    stdout: str
    stderr: str


Cli = Callable[..., Answer]

# No test is timed: on a machine with other work to do the same example takes a hundred times as long.
# Fixtures that last longer than an example hold nothing that examples change.
hypothesis.settings.register_profile(
    "untimed",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("untimed")


_APART = ("tests/integration/test_stack.py::TestOwn", "tests/integration/test_inference.py")
"""What brings its own processes and leaves the shared stack alone."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """What stays in one process where there are several (`make test`): what shares a stack, else a file.

    So no two tests ask the same stack at a time, and what a file has set up is set up once.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Shared(LoadScopeScheduling):  # type: ignore[misc] # xdist is not typed
        def _split_scope(self, nodeid: str) -> str:
            apart = next((one for one in _APART if nodeid.startswith(one)), None)
            file = nodeid.partition("::")[0]
            folder = file.split("/")[1]
            return apart or (file if folder == "unit" else folder)

    return Shared(config, log)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Packed bytes hold the time of day: with them in its name, a test would be another one every second."""
    return "packed" if isinstance(val, bytes) and val.startswith((b"\x1f\x8b", b"PK")) else None


@pytest.fixture(scope="session", autouse=True)
def _own_environment() -> Iterator[None]:
    """No MSM_* setting of the person's shell reaches a test."""
    keep = {"MSM_TEST_STACK"}
    taken = {
        key: os.environ.pop(key) for key in list(os.environ) if key.startswith("MSM_") and key not in keep
    }
    yield
    os.environ.update(taken)


@pytest.fixture(scope="session")
def stack(_own_environment: None) -> Iterator[Stack]:
    """A real Elasticsearch, Redis, dispatcher, worker and API, with a heap of 512 MB.

    MSM_HOME is set in the environment, so that commands called in-process find the stack too. A test
    takes names of its own (`unique`), so that no test sees another's collections.
    """
    os.environ |= {"MSM_HOME": str(HOME), "MSM_ES_HEAP": "512m"}
    settings = load()
    layout = Layout.of(settings)
    HOME.parent.mkdir(exist_ok=True)
    with HOME.with_suffix(".users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        if supervisor_of(layout) is None:
            control.down(settings, print)
            shutil.rmtree(layout.elastic, ignore_errors=True)
            shutil.rmtree(HOME, ignore_errors=True)
        control.up(settings, print)
        yield Stack(settings, HOME)
        if os.environ.get("MSM_TEST_STACK") == "keep":
            return
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        control.down(settings, print)


def starts_quickly(settings: Settings) -> None:
    """Let the Elasticsearch of a home that is not up yet start in two thirds of the time.

    Without the optimising compiler, that is: for stacks that are there to be killed and brought up again.
    What is searched and measured runs on the session's stack, with the JVM's defaults.
    """
    layout = Layout.of(settings)
    layout.create()
    folder = layout.elastic / "config" / "jvm.options.d"
    folder.mkdir(exist_ok=True)
    (folder / "quick.options").write_text("-XX:TieredStopAtLevel=1\n")
    for path in (folder, folder / "quick.options"):
        layout.give(path)


@pytest.fixture
def unique() -> str:
    """A name for a collection that no other test uses."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="session")
def cli() -> Cli:
    """`cli("mine", "--system", "bm25", home=…)` runs the real `msmctl`; see `Answer`."""

    def call(
        *arguments: str | Path,
        home: Path | None = None,
        timeout: float = 280,
        environment: dict[str, str] | None = None,
        folder: Path | None = None,
    ) -> Answer:
        variables = os.environ | ({"MSM_HOME": str(home)} if home else {}) | (environment or {})
        done = subprocess.run(
            [MSMCTL, *map(str, arguments)],
            env=variables,
            cwd=folder,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def squad() -> Path:
    """The shared SQuAD collection's folder; skips where it is absent."""
    folder = DATA / "squad"
    if not folder.is_dir():
        pytest.skip(f"no {folder}: the shared data are not on this machine")
    return folder
