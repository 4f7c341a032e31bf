"""The command line's conventions, checked on every command there is."""

import inspect
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from cli.main import COMMANDS, root
from services import errors
from services.counted import counted
from services.errors import MsmError

ROOT = Path(__file__).parents[2]
MSMCTL = str(Path(sys.executable).with_name("msmctl"))
HEAVY = ("torch", "elasticsearch", "celery", "numpy", "pyarrow", "pydantic", "rich", "fsspec")


def walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    """A command and all below it, with the words that call it."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, name
            yield from walk(below, (*path, name))


def every_command() -> list[tuple[str, click.Command]]:
    return [
        found
        for name, (target, _) in COMMANDS.items()
        for found in walk(
            getattr(import_module(target.partition(":")[0]), target.partition(":")[2]), ("msmctl", name)
        )
    ]


EVERY = every_command()
LEAVES = [(path, command) for path, command in EVERY if not isinstance(command, click.Group)]


def msmctl(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MSMCTL, *args], capture_output=True, text=True, env=os.environ | environment, check=False
    )


def on_a_terminal(*args: str, **environment: str) -> str:
    """What a command prints on a terminal."""
    leader, follower = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | {
        "TERM": "xterm",
        "COLUMNS": "200",
    }
    child = subprocess.Popen([MSMCTL, *args], stdout=follower, stderr=follower, env=env | environment)
    os.close(follower)
    shown = b""
    while True:
        try:
            block = os.read(leader, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not block:
            break
        shown += block
    child.wait()
    os.close(leader)
    return shown.decode()


# -- speed ---------------------------------------------------------------------------------------------


def test_help_takes_less_than_three_tenths_of_a_second() -> None:
    def seconds() -> float:
        start = time.perf_counter()
        assert msmctl("--help").returncode == 0
        return time.perf_counter() - start

    assert min(seconds() for _ in range(7)) < 0.3  # the best: others may be using this machine


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from cli.main import root\n"
        "try: root.main(['--help'], standalone_mode=False)\n"
        "except SystemExit: pass\n"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert loaded.isdisjoint(HEAVY)
    assert "cli.mine" not in done.stderr.split(), "commands are imported when they are called"


def test_who_submits_a_job_or_waits_for_one_loads_no_torch() -> None:
    """Seconds, and half a gigabyte: for every command, and for as long as the dispatcher runs."""
    program = (
        "import sys; from services.jobs import registry\n"
        "for name in registry._KINDS: registry.kind_named(name)\n"
        "import workers.dispatcher\n"
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"torch", "transformers", "sentence_transformers", "datasets", "matplotlib"})


# -- help ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "command"), EVERY, ids=[path for path, _ in EVERY])
def test_every_command_has_help(path: str, command: click.Command) -> None:
    assert command.help, path
    assert command.get_short_help_str()


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[path for path, _ in LEAVES])
def test_every_help_has_an_example_whose_options_exist(path: str, command: click.Command) -> None:
    help_text = inspect.cleandoc(command.help or "")
    assert re.search(r"^Examples?:$", help_text, re.MULTILINE), f"{path}: no example"
    examples = help_text[help_text.index("Example") :].replace("\\\n", " ")
    assert path in examples, f"{path}: the example shows another command"
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    for line in examples.splitlines():
        arguments = re.split(r"[|#]|&&", line.partition(path)[2])[0]
        assert set(re.findall(r"(?<=\s)--[a-z-]+", arguments)) <= known, path


@pytest.mark.parametrize(("path", "command"), EVERY, ids=[path for path, _ in EVERY])
def test_every_group_shows_an_example_too(path: str, command: click.Command) -> None:
    help_text = inspect.cleandoc(command.help or "")
    assert path in help_text[help_text.index("Example") :]


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[path for path, _ in LEAVES])
def test_every_option_has_help(path: str, command: click.Command) -> None:
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{path} {parameter.opts}"


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[path for path, _ in LEAVES])
def test_options_are_spelt_alike_everywhere(path: str, command: click.Command) -> None:
    spelt = {"systems": "--system", "system": "--system", "as_json": "--json", "dry_run": "--dry-run"}
    spelt |= {name: f"--{name}" for name in ("collection", "split", "local", "detach", "force", "yes")}
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name in spelt:
            assert spelt[parameter.name] in parameter.opts, path
        assert not any("_" in option for option in parameter.opts if option.startswith("--")), path


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[path for path, _ in LEAVES])
def test_every_command_prints_json_of_a_documented_shape(path: str, command: click.Command) -> None:
    if path in ("msmctl completion", "msmctl api serve", "msmctl gateway serve"):  # a script, services
        return
    assert "as_json" in {parameter.name for parameter in command.params}, path
    noun = path.removeprefix("msmctl ")
    page = (ROOT / "docs" / "json.md").read_text("utf-8")
    assert f"`{noun}`" in page or f"`{noun.split()[0]}`" in page


def test_the_root_lists_every_command_with_a_line() -> None:
    listed = " ".join(msmctl("--help").stdout.split())
    for name, (_, line) in COMMANDS.items():
        assert f" {name} {line}" in listed


# -- errors --------------------------------------------------------------------------------------------


def test_an_unknown_command_is_a_usage_error_that_names_the_nearest() -> None:
    done = msmctl("minee")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Did you mean: mine" in done.stderr


def test_a_usage_error_is_json_where_json_was_asked_for() -> None:
    done = msmctl("config", "show", "--nonsense", "--json")
    assert done.returncode == 2
    error = json.loads(done.stderr)["error"]
    assert error["code"] == "usage"
    assert "--nonsense" in error["message"]


def test_an_error_says_what_where_and_what_to_do_next(tmp_path: Path) -> None:
    (tmp_path / "msmctl.toml").write_text("devise = 'cpu'\n")
    done = msmctl("--home", str(tmp_path), "config", "show")
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"error: {tmp_path}/msmctl.toml: setting 'devise'" in done.stderr
    assert "hint: " in done.stderr


def test_an_error_is_json_where_json_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "msmctl.toml").write_text("broken")
    done = msmctl("--home", str(tmp_path), "config", "show", "--json")
    assert set(json.loads(done.stderr)["error"]) == {"code", "message", "hint"}


def error_types(base: type[MsmError] = MsmError) -> Iterator[type[MsmError]]:
    yield base
    for child in base.__subclasses__():
        yield from error_types(child)


def test_the_exit_codes_are_the_documented_ones() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)`", (ROOT / "docs" / "cli.md").read_text("utf-8"), re.MULTILINE)
    documented = {name: int(code) for code, name in rows}
    for kind in error_types():
        if kind.__module__ == errors.__name__:
            assert documented[kind.code] == kind.exit_code, kind
    assert documented | {"interrupted": 130, "ok": 0} == documented


# -- output --------------------------------------------------------------------------------------------


def test_rows_are_tsv_when_piped_and_a_table_on_a_terminal() -> None:
    piped = msmctl("config", "show").stdout.splitlines()
    assert piped[0].split("\t") == ["setting", "value", "environment", "meaning"]
    assert all(line.count("\t") == 3 for line in piped)
    shown = on_a_terminal("config", "show")
    assert "\t" not in shown
    assert "\x1b[" in shown


def test_no_color_is_honoured() -> None:
    assert "\x1b[" not in on_a_terminal("config", "show", NO_COLOR="1")  # bold neither
    assert "\x1b[" not in on_a_terminal("--home", "/dev/null/x", "config", "show", "--nonsense", NO_COLOR="1")


@pytest.mark.parametrize("words", [["config", "show"], ["negatives", "filters", "--json"], ["--help"]])
def test_a_reader_that_goes_away_ends_a_command_as_it_does_unix_tools(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([MSMCTL, *words], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


def test_where_nothing_was_ever_done_there_are_no_jobs(tmp_path: Path) -> None:
    home = tmp_path / "never-used"
    assert json.loads(msmctl("--home", str(home), "jobs", "ls", "--json").stdout) == []
    assert not home.exists()


@pytest.mark.parametrize("words", [
    ["verify", ""], ["collection", "import", "c", "--passages", ""], ["evaluate", "--run", ""],
    ["export", "qrels", "-o", ""], ["--home", "", "config", "show"],
])  # fmt: skip
def test_an_empty_path_is_not_the_present_folder(words: list[str]) -> None:
    done = msmctl(*words)
    assert done.returncode == 2
    assert "it is empty, where a path is needed" in done.stderr


@pytest.mark.parametrize(("count", "things", "said"), [
    (0, "lines", "0 lines"), (1, "lines", "1 line"), (1, "queries", "1 query"), (2000, "rows", "2,000 rows"),
])  # fmt: skip
def test_one_thing_is_said_in_the_singular(count: int, things: str, said: str) -> None:
    assert counted(count, things) == said


def test_json_is_one_value_on_stdout() -> None:
    rows = json.loads(msmctl("config", "show", "--origin", "--json", MSM_SENDERS="7").stdout)
    senders = next(row for row in rows if row["setting"] == "senders")
    assert (senders["value"], senders["origin"]) == ("7", "environment")


def test_the_origin_of_every_setting_is_told(tmp_path: Path) -> None:
    (tmp_path / "msmctl.toml").write_text("window = 3\n")
    done = msmctl("--home", str(tmp_path), "config", "show", "--origin", "--json", MSM_SENDERS="7")
    origin = {row["setting"]: row["origin"] for row in json.loads(done.stdout)}
    assert (origin["home"], origin["senders"], origin["window"]) == ("flag", "environment", "msmctl.toml")
    assert origin["prefix"] == "default"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_completion(shell: str) -> None:
    assert "_MSMCTL_COMPLETE" in msmctl("completion", shell).stdout


def test_completion_knows_commands_and_options() -> None:
    done = msmctl(_MSMCTL_COMPLETE="bash_complete", COMP_WORDS="msmctl config s", COMP_CWORD="2")
    assert "show" in done.stdout
    assert "mine" in msmctl(_MSMCTL_COMPLETE="bash_complete", COMP_WORDS="msmctl m", COMP_CWORD="1").stdout


def test_the_root_command_names_itself() -> None:
    assert msmctl("--version").stdout.startswith("msmctl")
    assert root.name == "root"
