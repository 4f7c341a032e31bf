"""The local stack: what `up`, `down` and `status` promise, and what each user may not do."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.settings import Settings
from services.stack import probes, secrets
from services.stack.endpoints import endpoints
from services.stack.layout import Layout
from tests.conftest import Cli, Stack, starts_quickly

NAMES = ["supervisor", "elasticsearch", "redis", "dispatcher", "worker", "models", "api", "gateway"]


def ask(
    settings: Settings, user: str, method: str, path: str, body: dict[str, Any] | None = None
) -> tuple[int, Any]:
    """Status and JSON answer of one request to Elasticsearch as `user`."""
    token = base64.b64encode(f"{user}:{secrets.password(settings, user)}".encode()).decode()
    request = urllib.request.Request(
        f"{endpoints(settings).es_url}/{path}",
        method=method,
        data=json.dumps(body).encode() if body else None,
        headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


@pytest.fixture(scope="module")
def msm_index(stack: Stack) -> Iterator[str]:
    index = f"msm-forbidden{os.getpid()}"
    assert ask(stack.settings, "worker", "PUT", index)[0] == 200
    yield index
    ask(stack.settings, "worker", "DELETE", index)


class TestSession:
    """On the stack that the whole test run shares."""

    def test_status_names_every_process_in_order_and_all_are_ready(self, stack: Stack, cli: Cli) -> None:
        answer = cli("status", "--json")
        document = json.loads(answer.stdout)
        assert answer.code == 0
        assert document["home"] == str(stack.home)
        assert [process["name"] for process in document["processes"]] == NAMES
        assert all(
            process["ready"] and psutil.pid_exists(process["pid"]) for process in document["processes"]
        )
        assert set(document["processes"][0]) == {"name", "pid", "port", "url", "ready"}

    def test_up_on_a_running_stack_does_nothing_and_says_so(self, stack: Stack, cli: Cli) -> None:
        before = cli("status", "--json").stdout
        answer = cli("up", "--json")
        assert answer.code == 0
        assert "already running" in answer.stderr
        assert json.loads(answer.stdout) == json.loads(before)

    def test_credentials_name_the_file_and_the_address_but_not_the_secret(
        self, stack: Stack, cli: Cli
    ) -> None:
        answer = json.loads(cli("credentials", "admin", "--json").stdout)
        assert set(answer) == {"user", "password_file", "url"}
        assert Path(answer["password_file"]).stat().st_mode & 0o777 == 0o600
        assert secrets.password(stack.settings, "admin") not in json.dumps(answer)

    def test_an_unknown_user_and_an_unknown_process_are_refused_with_the_known_ones(
        self, stack: Stack, cli: Cli
    ) -> None:
        for arguments in (("credentials", "root"), ("logs", "kafka")):
            answer = cli(*arguments)
            assert answer.code == 7
            assert "one of:" in answer.stderr

    def test_logs_show_the_end_of_a_process_s_log(self, stack: Stack, cli: Cli) -> None:
        answer = cli("logs", "elasticsearch", "-n", "3")
        assert answer.code == 0
        assert len(answer.stdout.splitlines()) == 3

    def test_no_secret_is_on_a_command_line_or_in_a_log(self, stack: Stack) -> None:
        passwords = [path.read_text().strip() for path in stack.settings.secrets_dir.iterdir()]
        lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
        logs = [path.read_text(errors="replace") for path in (stack.home / "logs").iterdir()]
        assert passwords
        assert not [password for password in passwords if any(password in text for text in lines + logs)]

    def test_elasticsearch_asks_for_a_password(self, stack: Stack) -> None:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{endpoints(stack.settings).es_url}/_cluster/health", timeout=10)
        assert caught.value.code == 401

    def test_redis_asks_for_a_password(self, stack: Stack) -> None:
        host, port = (
            endpoints(stack.settings).redis_url.removeprefix("redis://").removesuffix("/0").split(":")
        )
        with socket.create_connection((host, int(port)), timeout=5) as wire:
            wire.sendall(b"PING\r\n")
            assert wire.recv(100).startswith(b"-NOAUTH")

    def test_the_api_is_alive_and_ready(self, stack: Stack) -> None:
        url = endpoints(stack.settings).api_url
        assert probes.readiness(f"{url}/livez") is None
        assert probes.readiness(f"{url}/readyz") is None

    def test_english_works_by_the_mapping_s_own_name_and_gives_lucene_s_tokens(
        self, stack: Stack, unique: str
    ) -> None:
        index = f"msm-{unique}"
        analysis = {"analyzer": {"passage": {"type": "english"}}}
        assert ask(stack.settings, "admin", "PUT", index, {"settings": {"analysis": analysis}})[0] == 200
        _, answer = ask(
            stack.settings,
            "admin",
            "POST",
            f"{index}/_analyze",
            {"analyzer": "passage", "text": "The running dogs and John's houses"},
        )
        assert [(token["token"], token["position"]) for token in answer["tokens"]] == [
            ("run", 1),
            ("dog", 2),
            ("john", 4),
            ("hous", 5),
        ]
        ask(stack.settings, "admin", "DELETE", index)

    @pytest.mark.parametrize(
        ("user", "method", "path", "why"),
        [
            ("reader", "PUT", "{index}/_doc/1", "people read"),
            ("reader", "DELETE", "{index}", "people read"),
            ("api", "PUT", "{index}/_doc/1", "the API answers searches"),
            ("api", "PUT", "{index}-new", "the API creates nothing"),
            ("console", "PUT", "{index}/_doc/1", "the page changes no passage"),
            ("console", "GET", "msm-keys/_search", "the page shows no keys"),
            ("dispatcher", "POST", "{index}/_search", "the dispatcher sees the ledger, no passage"),
            ("dispatcher", "PUT", "{index}/_doc/1", "the dispatcher sees the ledger, no passage"),
            ("worker", "PUT", "other-{index}", "nobody leaves the prefix"),
            ("admin", "PUT", "other-{index}", "nobody leaves the prefix"),
            ("admin", "PUT", "_cluster/settings", "nobody changes the cluster"),
            ("worker", "GET", "_security/user", "nobody sees users"),
            ("worker", "PUT", "msm-keys/_doc/1", "workers make no keys"),
            ("reader", "GET", "msm-keys/_search", "keys are not for people to read"),
            ("api", "PUT", "msm-keys/_doc/1", "the API makes no keys"),
            ("gateway", "POST", "{index}/_search", "the gateway asks as its caller"),
        ],
    )
    def test_no_user_may_do_more_than_it_needs(
        self, stack: Stack, msm_index: str, user: str, method: str, path: str, why: str
    ) -> None:
        body = (
            {"persistent": {"action.auto_create_index": "true"}}
            if "settings" in path
            else {"query": {"match_all": {}}}
            if "search" in path
            else {"text": "x"}
            if "_doc" in path
            else None
        )
        status, answer = ask(stack.settings, user, method, path.format(index=msm_index), body)
        assert status == 403, (why, answer)

    def test_an_index_is_never_made_by_a_mistyped_write(self, stack: Stack) -> None:
        assert ask(stack.settings, "worker", "PUT", "msm-nowhere/_doc/1", {"text": "x"})[0] == 404


@pytest.mark.slow
def test_a_cluster_that_is_given_is_used_and_not_started(stack: Stack, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    for user in secrets.USERS:
        shutil.copy(secrets.password_file(stack.settings, user), tmp_path / "secrets")
    given = {"MSM_ES_URL": endpoints(stack.settings).es_url, "MSM_STORE": stack.settings.store_url}
    try:
        answer = cli("up", "--json", home=tmp_path, environment=given)
        assert answer.code == 0, answer.stderr
        processes = {process["name"]: process for process in json.loads(answer.stdout)["processes"]}
        assert processes["elasticsearch"] == {
            "name": "elasticsearch",
            "pid": None,
            "port": None,
            "url": given["MSM_ES_URL"],
            "ready": True,
        }
        assert all(process["ready"] for process in processes.values())
        assert not Layout.of(Settings(home=tmp_path)).elastic.exists()
    finally:
        assert cli("down", home=tmp_path, environment=given).code == 0


@pytest.mark.slow
def test_a_process_that_cannot_start_is_reported_with_the_end_of_its_log(cli: Cli, tmp_path: Path) -> None:
    try:
        answer = cli("up", home=tmp_path, environment={"MSM_ES_HEAP": "1m"})
        assert answer.code == 5
        assert "elasticsearch is not ready" in answer.stderr
        assert "heap" in answer.stderr
        assert "msmctl logs elasticsearch" in answer.stderr
    finally:
        cli("down", home=tmp_path)
        shutil.rmtree(Layout.of(Settings(home=tmp_path)).elastic, ignore_errors=True)


def test_a_home_that_cannot_be_written_is_named(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = cli("up", home=tmp_path / "file" / "home")
    assert answer.code == 1
    assert str(tmp_path / "file" / "home") in answer.stderr
    assert "--home" in answer.stderr


class Own:
    """A second stack, in a folder whose parent is closed to all others, and the killing of its processes."""

    def __init__(self, home: Path, cli: Cli) -> None:
        self.home, self.settings, self._cli = home, Settings(home=home), cli

    def __call__(self, *arguments: str, code: int = 0) -> str:
        answer = self._cli(*arguments, home=self.home, environment={"MSM_ES_HEAP": "256m"})
        assert answer.code == code, answer.stderr
        return answer.stdout

    def pids(self) -> dict[str, int]:
        document = json.loads(self("status", "--json"))
        return {process["name"]: process["pid"] for process in document["processes"]}

    def ready(self) -> dict[str, bool]:
        document = json.loads(self("status", "--json"))
        return {process["name"]: process["ready"] for process in document["processes"]}

    def kill(self, *names: str) -> None:
        pids = self.pids()
        for name in names:
            os.kill(pids[name], signal.SIGKILL)

    def belonging(self) -> list[psutil.Process]:
        """Every live process with this home in its environment or command line."""
        found = []
        for process in psutil.process_iter():
            try:
                texts = [*process.environ().values(), *process.cmdline()]
                if process.status() != psutil.STATUS_ZOMBIE and any(str(self.home) in text for text in texts):
                    found.append(process)
            except psutil.Error:
                continue
        return found


def eventually(true: Callable[[], bool], seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.2)


@pytest.fixture(scope="module")
def own(stack: Stack, cli: Cli) -> Iterator[Own]:
    folder = Path(tempfile.mkdtemp(prefix="msm-closed-"))  # mode 0700
    own = Own(folder / "home", cli)
    starts_quickly(own.settings)
    try:
        own("up")
        yield own
    finally:
        own("down")
        shutil.rmtree(Layout.of(own.settings).elastic, ignore_errors=True)
        shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("MSM_ES_URL") is not None, reason="a cluster is given")
class TestOwn:
    """Kills, beside the session's stack: two homes run side by side throughout."""

    def test_both_stacks_answer_and_share_no_port(self, own: Own, stack: Stack) -> None:
        assert all(own.ready().values())
        ours, theirs = endpoints(own.settings), endpoints(stack.settings)
        assert not {ours.es_url, ours.redis_url, ours.api_url} & {
            theirs.es_url,
            theirs.redis_url,
            theirs.api_url,
        }
        assert probes.elasticsearch(stack.settings, theirs.es_url) is None

    @pytest.mark.skipif(os.geteuid() != 0, reason="Elasticsearch runs as ourselves")
    def test_as_root_elasticsearch_is_another_user_s_and_its_files_lie_where_it_may_go(
        self, own: Own
    ) -> None:
        assert psutil.Process(own.pids()["elasticsearch"]).uids().real != 0
        where = Path(json.loads(own("status", "--json"))["elasticsearch_home"])
        assert where.parent == Path("/var/lib/msmctl")
        assert (where / "data").is_dir()

    def test_what_dies_is_started_again(self, own: Own) -> None:
        before = own.pids()
        own.kill("redis", "worker", "dispatcher", "models", "api", "gateway")
        eventually(lambda: all(own.ready().values()))
        after = own.pids()
        assert {name for name in NAMES if before[name] == after[name]} == {"supervisor", "elasticsearch"}

    def test_after_the_supervisor_s_death_the_others_work_on_and_up_takes_them_over(self, own: Own) -> None:
        before = own.pids()
        own.kill("supervisor")
        left = own.ready()
        assert not left.pop("supervisor")
        assert all(left.values())
        own("up")
        after = own.pids()
        assert after.pop("supervisor") != before.pop("supervisor")
        assert after == before
        own.kill("api")
        eventually(lambda: all(own.ready().values()))

    def test_up_after_everything_was_killed_recovers_with_data_and_passwords(self, own: Own) -> None:
        assert ask(own.settings, "worker", "PUT", "msm-kept")[0] == 200
        assert ask(own.settings, "worker", "PUT", "msm-kept/_doc/1", {"text": "kept"})[0] == 201
        own.kill(*NAMES)
        assert not any(own.ready().values())
        own("up")
        assert all(own.ready().values())
        assert ask(own.settings, "reader", "GET", "msm-kept/_doc/1")[1]["_source"] == {"text": "kept"}

    def test_down_leaves_no_process_even_after_the_supervisor_s_death_and_may_be_said_twice(
        self, own: Own
    ) -> None:
        own.kill("supervisor")
        own("down")
        assert own.belonging() == []
        own("down")
        assert own.pids() == dict.fromkeys(NAMES)
