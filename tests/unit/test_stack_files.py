"""What the local stack writes: ports, secrets, configuration, bounded logs."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import bcrypt
import pytest
import yaml

from services.errors import AuthError, InputError, Unavailable
from services.settings import Settings
from services.stack import distribution, elasticsearch, endpoints, logs, plugin, ports, redis, secrets
from services.stack.distribution import Distribution
from services.stack.layout import Layout, closed_parent

GIB = 1024**3


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path, tmp_path / "elasticsearch", None)
    layout.create()
    return layout


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path, prefix="shop", es_heap="640m")
    secrets.ensure(settings, (*secrets.USERS, secrets.REDIS))
    return settings


class TestPorts:
    def test_chosen_once_and_kept(self, tmp_path: Path) -> None:
        first = ports.choose(tmp_path, {})
        assert set(first) == set(ports.NAMES)
        assert len(set(first.values())) == len(first)
        assert ports.choose(tmp_path, first) == first

    def test_a_taken_one_is_replaced_unless_we_hold_it_ourselves(self, tmp_path: Path) -> None:
        first = ports.choose(tmp_path, {})
        with socket.create_server((ports.HOST, first["redis"])):
            again = ports.choose(tmp_path, first)
            assert again["redis"] != first["redis"]
            assert {**again, "redis": 0} == {**first, "redis": 0}
            assert ports.choose(tmp_path, first, ours=["redis"]) == first

    def test_two_homes_start_looking_in_different_places(self, tmp_path: Path) -> None:
        one, other = ports.choose(tmp_path / "a", {}), ports.choose(tmp_path / "b", {})
        assert not set(one.values()) & set(other.values())


class TestSecrets:
    def test_each_lies_in_a_closed_folder_and_is_readable_by_its_owner_only(self, settings: Settings) -> None:
        assert mode(settings.secrets_dir) == 0o700
        for user in (*secrets.USERS, secrets.REDIS):
            assert mode(secrets.password_file(settings, user)) == 0o600
            assert len(secrets.password(settings, user)) >= 32

    def test_they_are_made_once_and_their_modes_mended(self, settings: Settings) -> None:
        before = secrets.password(settings, "admin")
        settings.secrets_dir.chmod(0o755)
        secrets.password_file(settings, "admin").chmod(0o644)
        secrets.ensure(settings, secrets.USERS)
        assert secrets.password(settings, "admin") == before
        assert mode(settings.secrets_dir) == 0o700
        assert mode(secrets.password_file(settings, "admin")) == 0o600

    def test_a_missing_one_says_which_file_and_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(AuthError) as caught:
            secrets.password(Settings(home=tmp_path), "admin")
        assert str(tmp_path / "secrets" / "admin") in caught.value.message
        assert "msmctl up" in str(caught.value.hint)

    def test_a_folder_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(AuthError, match=str(tmp_path / "file")):
            secrets.ensure(Settings(home=tmp_path, secrets=str(tmp_path / "file" / "folder")), ["redis"])


class TestConfiguration:
    @pytest.fixture
    def written(self, settings: Settings, layout: Layout, tmp_path: Path) -> Path:
        tree = tmp_path / "distribution"
        (tree / "config").mkdir(parents=True)
        (tree / "config" / "jvm.options").write_text("-XX:+UseG1GC\n-Xlog:gc*:file=gc.log\n")
        elasticsearch.configure(settings, layout, Distribution(tree, None), dict.fromkeys(ports.NAMES, 20001))
        redis.configure(settings, layout, dict.fromkeys(ports.NAMES, 20002))
        return layout.elastic / "config"

    def test_security_is_on_and_nothing_listens_beyond_loopback(self, written: Path) -> None:
        present = yaml.safe_load((written / "elasticsearch.yml").read_text())
        assert present["xpack.security.enabled"] is True
        assert present["http.host"] == present["transport.host"] == "127.0.0.1"
        assert present["http.port"] == 20001

    def test_users_are_bcrypt_hashes_of_the_secrets(self, written: Path, settings: Settings) -> None:
        lines = dict(line.split(":") for line in (written / "users").read_text().splitlines())
        assert set(lines) == set(secrets.USERS)
        assert bcrypt.checkpw(secrets.password(settings, "worker").encode(), lines["worker"].encode())

    def test_roles_bear_the_prefix_and_reach_no_other_index(self, written: Path) -> None:
        roles = yaml.safe_load((written / "roles.yml").read_text())
        assert set(roles) == {f"shop_{user}" for user in secrets.USERS}
        names = [name for role in roles.values() for entry in role["indices"] for name in entry["names"]]
        assert all(name.startswith(("shop-", "/shop-")) for name in names)  # in //: a regular expression
        assert "shop_reader:reader" in (written / "users_roles").read_text()

    def test_no_password_stands_in_elasticsearch_s_files_and_all_are_closed(
        self, written: Path, settings: Settings
    ) -> None:
        for path in written.iterdir():
            assert mode(path) == 0o600
            assert not any(secrets.password(settings, user) in path.read_text() for user in secrets.USERS)

    def test_redis_s_file_is_closed_and_its_command_line_bears_no_secret(
        self, written: Path, settings: Settings, layout: Layout
    ) -> None:
        path = layout.home / "redis" / "redis.conf"
        assert mode(path) == 0o600
        text = path.read_text()
        for line in (
            "appendonly yes",
            "appendfsync everysec",
            "maxmemory-policy noeviction",
            "bind 127.0.0.1",
        ):
            assert line in text
        assert secrets.password(settings, "redis") not in " ".join(redis.command(layout, "redis-server"))

    def test_the_heap_is_ours_and_the_log_of_garbage_collections_is_off(self, written: Path) -> None:
        options = (written / "jvm.options").read_text().splitlines()
        assert "-Xmx640m" in options
        assert "-XX:+UseG1GC" in options
        assert not any("-Xlog:gc" in line for line in options)

    @pytest.mark.parametrize(
        ("gib", "heap"), [(1, "256m"), (4, "512m"), (8, "512m"), (24, "1536m"), (64, "4096m"), (512, "4096m")]
    )
    def test_the_heap_follows_the_memory(self, tmp_path: Path, gib: int, heap: str) -> None:
        assert elasticsearch.heap(Settings(home=tmp_path), gib * GIB) == heap


class TestLayout:
    def test_a_folder_closed_to_elasticsearch_s_user_is_found(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        (tmp_path / "closed").mkdir(mode=0o700)
        inside = tmp_path / "closed" / "home"
        assert closed_parent(inside, os.geteuid() + 1) is not None
        assert closed_parent(inside, None) is None

    def test_endpoints_before_the_first_up_say_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(Unavailable) as caught:
            endpoints.endpoints(Settings(home=tmp_path))
        assert caught.value.hint == "msmctl up"

    def test_given_urls_need_no_local_stack(self, tmp_path: Path) -> None:
        settings = Settings(home=tmp_path, es_url="http://es:9200", redis_url="redis://r:6379/1")
        assert endpoints.endpoints(settings).es_url == "http://es:9200"
        assert endpoints.endpoints(settings).redis_url == "redis://r:6379/1"

    def test_a_broken_state_file_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "stack.json").write_text("{")
        with pytest.raises(InputError, match=r"stack\.json"):
            endpoints.endpoints(Settings(home=tmp_path))


class TestDistribution:
    def test_es_home_without_a_server_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ES_HOME", str(tmp_path))
        with pytest.raises(InputError, match="bin/elasticsearch"):
            distribution.locate(None)

    def test_es_home_must_be_a_full_distribution(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "elasticsearch").touch()
        monkeypatch.setenv("ES_HOME", str(tmp_path))
        with pytest.raises(InputError, match="analysis-common"):
            distribution.locate(None)

    def test_a_full_one_is_taken_as_it_is_with_its_own_java(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for folder in ("bin", "modules/analysis-common", "jdk"):
            (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "bin" / "elasticsearch").touch()
        monkeypatch.setenv("ES_HOME", str(tmp_path))
        assert distribution.locate(None) == Distribution(tmp_path, None)

    def test_another_version_needs_another_build_of_the_plugin(self) -> None:
        assert plugin.fingerprint("9.5.4") == plugin.fingerprint("9.5.4") != plugin.fingerprint("9.5.5")


class TestLogs:
    def test_a_log_above_the_limit_is_moved_aside_in_place(self, layout: Layout) -> None:
        path = layout.log("worker")
        with path.open("ab") as writer:
            writer.write(b"old\n" * 100)
            writer.flush()
            logs.bound(layout, limit=100)
            writer.write(b"new\n")
        assert path.read_text() == "new\n"
        assert path.with_suffix(".log.1").read_text().startswith("old")

    def test_the_tail_of_no_log_is_nothing(self, layout: Layout) -> None:
        assert logs.tail(layout.log("worker"), 5) == []
