"""docker-compose.yml, docker/Dockerfile and .env.example, as far as they can be checked without an engine."""

from __future__ import annotations

import itertools
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from cli.main import COMMANDS
from services.settings import Settings
from services.stack import distribution, provision, secrets
from tests import compose_kit
from tests.conftest import ROOT
from workers.app import SOFT_SHUTDOWN

PROFILES = ("kibana", "gpu", "cli")
ONE_SHOT = {"secrets", "setup", "msmctl"}
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()


def seconds(text: str) -> int:
    return sum(int(number) * {"m": 60, "s": 1}[unit] for number, unit in re.findall(r"(\d+)([ms])", text))


def test_it_follows_the_compose_specification_s_schema() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "check-jsonschema", "--builtin-schema", "vendor.compose-spec",
         compose_kit.FILE], capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "profiles",
    [set(chosen) for count in range(len(PROFILES) + 1) for chosen in itertools.combinations(PROFILES, count)],
    ids=lambda profiles: "+".join(sorted(profiles)) or "default",
)
def test_every_profile_resolves(profiles: set[str]) -> None:
    chosen = compose_kit.enabled(profiles)
    for name, service in chosen.items():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in chosen, f"{name} needs {needed}"
            if how["condition"] == "service_healthy":
                assert "healthcheck" in chosen[needed]
            else:
                assert how["condition"] == "service_completed_successfully"
                assert needed in ONE_SHOT
    assert len(compose_kit.in_order(chosen)) == len(chosen)


def test_the_profiles_are_the_documented_ones() -> None:
    assert set(compose_kit.enabled(set())) == {
        "secrets", "setup", "elasticsearch", "redis", "dispatcher", "worker-cpu", "models", "api", "gateway",
    }  # fmt: skip
    used = {profile for service in compose_kit.services().values() for profile in service.get("profiles", [])}
    assert used == set(PROFILES)


def test_env_example_names_every_variable_with_its_default_and_no_other() -> None:
    used = dict(compose_kit.VARIABLE.findall(compose_kit.FILE.read_text()))
    text = (ROOT / ".env.example").read_text()
    assert dict(re.findall(r"^(\w+)=(.*)$", text, flags=re.MULTILINE)) == used
    assert len(re.findall(r"(?<!\$)\$\{?\w", compose_kit.FILE.read_text())) == len(
        compose_kit.VARIABLE.findall(compose_kit.FILE.read_text())
    ), "a variable without a default"


def test_a_variable_has_the_same_default_wherever_it_is_used() -> None:
    defaults = compose_kit.VARIABLE.findall(compose_kit.FILE.read_text())
    assert len(set(defaults)) == len(dict(defaults))


@pytest.mark.parametrize("name", compose_kit.services())
class TestEveryService:
    def test_its_image_is_pinned(self, name: str) -> None:
        assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+", compose_kit.services()[name]["image"])

    def test_no_secret_is_in_its_environment_or_on_its_command_line(self, name: str) -> None:
        service = compose_kit.services()[name]
        suspicious = [
            key for key in service.get("environment", {}) if re.search("PASSWORD|TOKEN|SECRET(?!S)|KEY", key)
        ]
        assert suspicious == []
        assert "requirepass" not in str(service.get("command"))

    def test_it_can_do_no_more_than_it_must(self, name: str) -> None:
        service = compose_kit.services()[name]
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert service["logging"]["options"]["max-size"]
        limits = service["deploy"]["resources"]["limits"]
        assert limits["memory"]
        assert limits["cpus"]

    def test_its_ports_are_on_loopback(self, name: str) -> None:
        assert all(port.startswith("127.0.0.1:") for port in compose_kit.services()[name].get("ports", []))

    def test_it_is_watched_and_restarted_if_it_is_to_stay(self, name: str) -> None:
        service = compose_kit.services()[name]
        if name in ONE_SHOT:
            assert service["restart"] != "unless-stopped"
        else:
            assert service["restart"] == "unless-stopped"
            assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
            assert service["stop_grace_period"]


@pytest.mark.parametrize("name", compose_kit.ours(compose_kit.services()))
def test_our_own_run_read_only_and_not_as_root(name: str) -> None:
    service = compose_kit.services()[name]
    assert service["read_only"] is True
    assert service["user"] == ("0:0" if name == "secrets" else "10001:10001")


@pytest.mark.parametrize("name", ["worker-cpu", "worker-gpu"])
def test_a_worker_has_time_to_let_its_chunk_end(name: str) -> None:
    service = compose_kit.services()[name]
    assert service["environment"]["REMAP_SIGTERM"] == "SIGQUIT"
    assert seconds(service["stop_grace_period"]) >= 2 * SOFT_SHUTDOWN


def test_only_the_profile_gpu_reserves_devices_its_worker_all_of_them() -> None:
    reserved = {
        name: service["deploy"]["resources"].get("reservations", {}).get("devices")
        for name, service in compose_kit.services().items()
    }
    assert {name for name, devices in reserved.items() if devices} == {"worker-gpu", "models-gpu"}
    assert reserved["worker-gpu"] == [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
    assert reserved["models-gpu"] == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]


def test_elasticsearch_and_kibana_have_the_version_that_the_tests_run_against() -> None:
    for name in ("elasticsearch", "kibana"):
        assert compose_kit.services()[name]["image"].endswith(f":{distribution.VERSION}")


def test_every_named_volume_is_declared() -> None:
    declared = set(yaml.safe_load(compose_kit.FILE.read_text())["volumes"])
    used = {
        volume["source"]
        for service in compose_kit.services().values()
        for volume in service.get("volumes", [])
        if volume["type"] == "volume"
    }
    assert used == declared


class TestSecrets:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        provision.provision(Settings(home=tmp_path, prefix="shop"), tmp_path / "secrets")
        return tmp_path / "secrets"

    def test_every_mounted_path_is_there(self, folder: Path) -> None:
        for service in compose_kit.services().values():
            for path in compose_kit.secrets_of(service):
                assert (folder / path).exists()

    def test_each_component_gets_its_own_passwords_and_no_others(self, folder: Path) -> None:
        present = {path.name: {entry.name for entry in path.iterdir()} for path in folder.iterdir()}
        assert present["worker"] == {"worker", "redis"}
        assert present["dispatcher"] == {"dispatcher", "redis"}
        assert present["api"] == {"api", "console", "searches"}
        assert present["gateway"] == {"gateway", "searches"}
        assert present["msmctl"] == {"admin", "searches"}
        assert present["models"] == set()
        assert present["elasticsearch"] == {"users", "users_roles", "roles.yml"}
        for name, service in compose_kit.services().items():
            if name in ("worker-cpu", "worker-gpu"):
                assert compose_kit.secrets_of(service) == ["worker"]

    def test_only_owners_may_read(self, folder: Path) -> None:
        for path in folder.rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)

    def test_elasticsearch_and_kibana_see_hashes_and_one_password(self, folder: Path) -> None:
        passwords = {path.name: path.read_text().strip() for path in (folder / "setup").iterdir()}
        hashed = "".join(path.read_text() for path in (folder / "elasticsearch").iterdir())
        assert not [user for user, password in passwords.items() if password in hashed]
        assert f"kibana_system:{provision.KIBANA}" in hashed
        dashboard = (folder / "kibana" / "kibana.yml").read_text()
        assert [user for user, password in passwords.items() if password in dashboard] == [provision.KIBANA]

    def test_a_second_run_keeps_every_password(self, folder: Path, tmp_path: Path) -> None:
        before = {
            path: path.read_text() for path in folder.rglob("*") if path.is_file() and path.name != "users"
        }
        provision.provision(Settings(home=tmp_path, prefix="shop"), folder)
        assert before == {path: path.read_text() for path in before}

    def test_each_user_has_the_role_of_the_installation_s_prefix(self, folder: Path) -> None:
        roles = (folder / "elasticsearch" / "users_roles").read_text().splitlines()
        assert {f"shop_{user}:{user}" for user in secrets.USERS} < set(roles)


class TestImage:
    def test_its_base_is_pinned_and_it_does_not_run_as_root(self) -> None:
        bases = re.findall(r"^FROM (\S+)", DOCKERFILE, flags=re.MULTILINE)
        assert len(bases) == 2
        assert all(re.search(r":\d+\.\d+\.\d+-", base) for base in bases)
        assert re.findall(r"^USER (\S+)", DOCKERFILE, flags=re.MULTILINE)[-1] == "10001:10001"

    def test_packages_come_from_a_lock_with_hashes(self) -> None:
        assert DOCKERFILE.count("--require-hashes") == 2
        lock = (ROOT / "docker" / "requirements.lock").read_text()
        assert lock.count("==") > 50
        assert "pytest" not in lock

    def test_the_lock_has_the_versions_that_the_tests_run_against(self) -> None:
        def versions(path: Path) -> dict[str, str]:
            return dict(re.findall(r"^([\w.-]+)==(\S+)", path.read_text(), flags=re.MULTILINE))

        tested = versions(ROOT / "requirements.lock")
        assert versions(ROOT / "docker" / "requirements.lock").items() <= tested.items()

    def test_it_holds_every_package_of_ours_and_the_build_sees_all_that_it_copies(self) -> None:
        copied = {
            source
            for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, flags=re.MULTILINE)
            for source in line.split()
        }
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        packages = {
            pattern.rstrip("*") for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]
        }
        assert packages <= copied
        seen = (ROOT / ".dockerignore").read_text().splitlines()
        bound = re.findall(r"source=(\S+?),", DOCKERFILE)
        assert {f"!{path}" for path in (*copied, *bound)} <= set(seen)
        assert all((ROOT / path).exists() for path in (*copied, *bound))


class TestPage:
    """docs/compose.md speaks of what there is."""

    PAGE = (ROOT / "docs" / "compose.md").read_text()

    def test_its_table_lists_every_service_with_its_profile(self) -> None:
        rows = dict(re.findall(r"^\| ([\w-]+) \| (\w*) ?\| (?:ours|official)", self.PAGE, flags=re.MULTILINE))
        services = compose_kit.services()
        assert rows == {name: "".join(service.get("profiles", [])) for name, service in services.items()}

    def test_its_commands_name_services_profiles_and_commands_that_exist(self) -> None:
        commands = re.findall(r"docker compose ([^\n`#]+)", self.PAGE)
        assert len(commands) > 10
        for words in map(str.split, commands):
            if "--profile" in words:
                assert words[words.index("--profile") + 1] in PROFILES
            if "msmctl" in words:
                assert words[words.index("msmctl") + 1] in COMMANDS
            elif words[0] in ("run", "logs"):
                assert set(words) & set(compose_kit.services())
