"""Settings: flag > environment > msmctl.toml > default; each value knows its origin."""

from __future__ import annotations

from pathlib import Path

import pytest

from services import settings as module
from services.errors import InputError


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in module.Settings.model_fields:
        monkeypatch.delenv(f"MSM_{name.upper()}", raising=False)


def test_the_default_home_is_in_the_checkout_wherever_one_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert module.load().home == Path(module.__file__).resolve().parents[1] / ".msm"


def test_each_layer_wins_over_the_ones_below(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "msmctl.toml").write_text('prefix = "file"\nwindow = 3\nsenders = 2\n')
    monkeypatch.setenv("MSM_WINDOW", "5")
    monkeypatch.setenv("MSM_SENDERS", "6")
    values, origin = module.load_with_origin(home=tmp_path, senders=7)
    assert (values.prefix, values.window, values.senders, values.max_attempts) == ("file", 5, 7, 5)
    assert [origin[name] for name in ("prefix", "window", "senders", "max_attempts")] == [
        "msmctl.toml",
        "environment",
        "flag",
        "default",
    ]


def test_a_wrong_value_names_its_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MSM_WINDOW", "many")
    with pytest.raises(InputError, match=r"MSM_WINDOW.*many"):
        module.load(home=tmp_path)


def test_an_unknown_key_of_the_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "msmctl.toml").write_text("windw = 3\n")
    with pytest.raises(InputError, match=r"msmctl\.toml.*windw"):
        module.load(home=tmp_path)


def test_a_broken_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "msmctl.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"msmctl\.toml: not valid TOML"):
        module.load(home=tmp_path)


@pytest.mark.parametrize("prefix", ["", "Msm", "a-b", "a*", "x" * 40])
def test_a_prefix_must_be_safe_in_index_names(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(InputError, match="prefix"):
        module.load(home=tmp_path, prefix=prefix)


def test_names_of_indices_carry_the_prefix(tmp_path: Path) -> None:
    assert module.load(home=tmp_path, prefix="team").index("squad", "queries") == "team-squad-queries"


def test_a_relative_folder_is_made_absolute_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MSM_STORE", "here")
    assert module.load(home=tmp_path / "home").store_url == str(tmp_path / "here")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "msmctl.toml").write_text('store = "beside"\n')
    monkeypatch.delenv("MSM_STORE")
    assert module.load(home=tmp_path / "home").store_url == str(tmp_path / "home" / "beside")
    monkeypatch.setenv("MSM_STORE", "s3://bucket/folder")
    assert module.load(home=tmp_path / "home").store_url == "s3://bucket/folder"


@pytest.mark.parametrize("name", ["es_url", "redis_url"])
def test_a_password_in_an_address_is_refused_and_not_repeated(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="no user and password") as caught:
        module.load(home=tmp_path, **{name: "http://elastic:hunter2@host:9200"})
    assert "hunter2" not in caught.value.message
