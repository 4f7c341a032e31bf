"""`msmctl`: the root command. Subcommands are imported only when they are called."""

from __future__ import annotations

import errno
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from cli.options import FilePath
from cli.output import is_plain
from services.errors import MsmError, UsageError

# name -> ("module:attribute", one line of help), so that `msmctl --help` imports no command.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("cli.stack:up", "Start the local stack: Elasticsearch, Redis, dispatcher, worker, API."),
    "down": ("cli.stack:down", "Stop the local stack."),
    "status": ("cli.stack:status", "Show the processes of the local stack."),
    "logs": ("cli.stack:logs", "Show a process's log."),
    "credentials": ("cli.stack:credentials", "Show where a user's password lies."),
    "collection": ("cli.collection:collection", "Import, update and inspect collections."),
    "systems": ("cli.systems:systems", "The systems that rank passages, and their models."),
    "ce": ("cli.ce:ce", "The cross-encoders that score candidates, and their models."),
    "encode": ("cli.encode:encode", "Encode passages and queries into vectors."),
    "index": ("cli.index:index", "Build, verify, swap and roll back index versions."),
    "mine": ("cli.mine:mine", "Mine candidates for hard negatives."),
    "score": ("cli.score:score", "Score candidates with a cross-encoder."),
    "refresh": ("cli.refresh:refresh", "Encode, index, mine, score and export: what is not fresh."),
    "plan": ("cli.plan:plan", "Measure what encode, index, mine, score and train would cost."),
    "negatives": ("cli.negatives:negatives", "Look at candidates and their verdicts; mark them."),
    "publish": ("cli.publish:publish", "Put judged candidates into Elasticsearch, for Kibana."),
    "export": ("cli.export:export", "Export negatives in the field's formats."),
    "import": ("cli.import_:import_", "Import scores and negatives that others made."),
    "train": ("cli.train:train", "Train a model on mined negatives."),
    "models": ("cli.models:models", "The models that were trained here; promote one to serve it."),
    "run": ("cli.run:run", "Import, list and remove runs."),
    "verify": ("cli.verify:verify", "Check a file of negatives against a collection."),
    "evaluate": ("cli.evaluate:evaluate", "Measure a system or a run file."),
    "rerank": ("cli.rerank:rerank", "Rerank the lists of a run file."),
    "search": ("cli.search:search", "Ask a collection: BM25 and kNN, fused."),
    "tune": ("cli.tune:tune", "Choose how a collection is searched, by its own queries."),
    "kibana": ("cli.kibana:kibana", "Data views, saved searches and dashboards for Kibana."),
    "query": ("cli.query:query", "Keep queries, encoded, for lookup by Elasticsearch."),
    "jobs": ("cli.jobs:jobs", "List, watch, pause, cancel and retry jobs."),
    "gateway": ("cli.gateway:gateway", "The Elasticsearch-compatible gateway, and what it answers itself."),
    "api": ("cli.api:api", "The HTTP service."),
    "config": ("cli.config:config", "Show the settings and where they come from."),
    "completion": ("cli.completion:completion", "Print the shell completion script."),
}


class _ReaderGone(Exception):
    """What reads our output has gone. Not an OSError, which click would turn into exit code 1."""


class LazyGroup(click.Group):
    """A group that knows its commands' names and help, and imports one when it is called."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """As click does; `--help` prints here."""
        try:
            return super().make_context(*args, **extra)
        except BrokenPipeError as error:
            raise _ReaderGone from error

    def invoke(self, ctx: click.Context) -> Any:
        """As click does."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGone from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Refuse an unknown command with the nearest known ones."""
        from difflib import get_close_matches

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = get_close_matches(args[0], COMMANDS, n=2)
            ctx.fail(f"no such command '{args[0]}'." + (f" Did you mean: {', '.join(near)}?" if near else ""))
        return super().resolve_command(ctx, args)


@click.command(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option("--home", type=FilePath(), help="State folder (MSM_HOME).")
@click.version_option(package_name="msmctl")
@click.pass_context
def root(ctx: click.Context, home: Path | None) -> None:
    """Mine hard negatives and search a hybrid index, on Elasticsearch and Celery.

    \b
    Example:
      msmctl up
      msmctl collection import squad --passages collection.tsv.gz \\
          --queries train=queries.tsv --qrels train=qrels.tsv
      msmctl mine --system bm25
    """
    ctx.obj = home


def main() -> None:
    """Entry point: runs a command and maps errors to exit codes (docs/cli.md)."""
    try:
        code = root.main(prog_name="msmctl", standalone_mode=False, color=False if is_plain() else None)
    except _ReaderGone:
        # As Unix tools end (`… | head -1`): by SIGPIPE, without a word.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        report_usage(error)
        code = error.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        code = 130
    except MsmError as error:
        report(error)
        code = error.exit_code
    except OSError as error:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # what cannot be written is not tried again
        report(MsmError(f"{error.filename or 'output'}: {error.strerror or error}", hint=_hint(error)))
        code = 1
    except Exception as error:
        if os.environ.get("MSM_TRACEBACK"):
            raise
        report(
            MsmError(
                f"a defect of msmctl: {type(error).__name__}: {error}",
                hint="run it again with MSM_TRACEBACK=1 and report what it prints",
            )
        )
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _hint(error: OSError) -> str:
    """What to do about a file system that refuses."""
    reasons = {
        errno.ENOSPC: "free some space, then run it again: nothing half-written counts",
        errno.EACCES: "check the owner and the mode, or choose another folder (MSM_HOME, MSM_STORE)",
        errno.EROFS: "the file system is read-only: choose another folder (MSM_HOME, MSM_STORE)",
        errno.ENAMETOOLONG: "the name is too long for the file system",
    }
    return reasons.get(
        error.errno or 0, "check the path, MSM_HOME and MSM_STORE: `msmctl config show --origin`"
    )


def report(error: MsmError) -> None:
    """Say on stderr what, where and what to do next; as JSON where the caller asked for JSON."""
    if "--json" in sys.argv:
        import json

        click.echo(json.dumps({"error": error.as_dict()}), err=True)
        return
    for label, colour, text in (("error", "red", error.message), ("hint", None, error.hint)):
        if text:
            click.echo(
                (f"{label}: " if is_plain() else click.style(f"{label}: ", fg=colour, bold=True)) + text,
                err=True,
            )


def report_usage(error: click.ClickException) -> None:
    """What click has to say about the command line: its own form for people, ours as JSON."""
    if "--json" not in sys.argv:
        error.show()
        return
    context = getattr(error, "ctx", None)
    hint = f"`{context.command_path} --help` shows what it takes" if context else None
    report(UsageError(error.format_message(), hint=hint))
