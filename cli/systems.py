"""`msmctl systems`: the systems that rank passages, and their models in the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.options import FilePath, json_option, settings, store
from cli.output import emit_record, emit_rows, say
from services.counted import counted


@click.group()
def systems() -> None:
    """List, add and fetch the systems that rank passages.

    \b
    Example:
      msmctl systems ls
      msmctl systems add my-encoder --model ./my-encoder
    """


@systems.command("ls")
@json_option
@click.pass_context
def list_systems(ctx: click.Context, as_json: bool) -> None:
    """List all systems; `fingerprint` is that of the model in the store.

    \b
    Example:
      msmctl systems ls --json
    """
    from services.systems.models import describe, installed
    from services.systems.registry import Registry

    artefacts = store(ctx)
    rows = [
        describe(system, installed(artefacts, system) if system.encodes else None)
        for system in Registry.load(artefacts)
    ]
    columns = ["name", "kind", "pooling", "similarity", "max_length", "status", "fingerprint"]
    emit_rows(rows, columns, as_json=as_json)


@systems.command()
@click.argument("name")
@json_option
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show one system, its scores and their sources, and its model. Any spelling of the name will do.

    \b
    Example:
      msmctl systems show msmarco-MiniLM-L6-v3
    """
    from services.systems.models import describe, installed
    from services.systems.registry import Registry

    artefacts = store(ctx)
    system = Registry.load(artefacts).get(name)
    emit_record(describe(system, installed(artefacts, system) if system.encodes else None), as_json=as_json)


@systems.command()
@click.argument("name")
@click.option("--model", "origin", required=True, help="Model folder, or hub id (organisation/name).")
@click.option(
    "--kind",
    type=click.Choice(["dense", "sparse"]),
    help="Whether it makes vectors or term weights (SPLADE); default: as the folder's own files say.",
)
@click.option(
    "--pooling",
    type=click.Choice(["mean", "cls", "max", "lasttoken", "sum"]),
    help="How token vectors become one; max or sum of term weights. Default: as the folder's own files say.",
)
@click.option(
    "--similarity",
    type=click.Choice(["cosine", "dot"]),
    help="How vectors are compared; default: as the folder's own files say.",
)
@click.option("--max-length", type=click.IntRange(min=3), help="Tokens after which a text is cut.")
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    metavar="query|passage=TEXT",
    help="Text put before each query or passage; repeatable.",
)
@click.option("--revision", help="Commit, branch or tag on the hub.")
@click.option("--replace", is_flag=True, help="Replace a system that a user added before.")
@json_option
@click.pass_context
def add(
    ctx: click.Context, /, name: str, origin: str, prompts: tuple[str, ...], as_json: bool, **stated: Any
) -> None:
    """Register a system of your own and copy its model into the store.

    \b
    Example:
      msmctl systems add my-encoder --model ./my-encoder
      msmctl systems add my-dot --model ./plain-bert --pooling cls --similarity dot --max-length 256
      msmctl systems add my-splade --model ./masked-lm --kind sparse
    """
    from services.systems.models import add as add_system
    from services.systems.models import describe

    system, model = add_system(store(ctx), name, origin, prompts=_prompts(prompts), **stated)
    say(f"added {system.name}: {counted(len(model.files), 'files')}, {model.bytes:,} bytes")
    emit_record(describe(system, model), as_json=as_json)


@systems.command()
@click.argument("name")
@click.option(
    "--from", "origin", help="Model folder or hub id; default: the installed package or the registry's id."
)
@click.option(
    "--revision", help="Commit, branch or tag on the hub; default: the newest, pinned by its commit."
)
@json_option
@click.pass_context
def pull(ctx: click.Context, name: str, origin: str | None, revision: str | None, as_json: bool) -> None:
    """Copy a system's model into the store, where workers find it.

    \b
    Example:
      msmctl systems pull all-MiniLM-L6-v2
      msmctl systems pull msmarco-distilbert-base-tas-b --from ./tas-b
    """
    from services.systems.models import pull as pull_model
    from services.systems.registry import Registry

    artefacts = store(ctx)
    model = pull_model(artefacts, Registry.load(artefacts).get(name), origin, revision)
    emit_record({"system": model.system, **model.pulled()}, as_json=as_json)


@systems.command()
@click.argument("folder", type=FilePath(exists=True, file_okay=False))
@click.option("-o", "--output", required=True, type=FilePath(), help="Folder to make.")
@json_option
def convert(folder: Path, output: Path, as_json: bool) -> None:
    """Turn a folder with .bin weights into one with safetensors, in a confined process.

    \b
    Example:
      msmctl systems convert ./old-model -o ./safe-model
    """
    from services.models.convert import convert as convert_folder

    emit_record(convert_folder(folder, output).model_dump(), as_json=as_json)


@systems.command()
@click.argument("name")
@click.option("--collection", "-c", help="Also check the bytes of this collection's vectors.")
@json_option
@click.pass_context
def verify(ctx: click.Context, name: str, collection: str | None, as_json: bool) -> None:
    """Check a model's files, load it and encode two texts; exit status 1 if anything is wrong.

    \b
    Example:
      msmctl systems verify all-MiniLM-L6-v2
    """
    from services.encoding.verify import verify_system
    from services.errors import CheckFailed

    report = verify_system(store(ctx), settings(ctx), name, collection)
    emit_record(report.model_dump(mode="json"), as_json=as_json)
    if report.problems:
        raise CheckFailed(f"system '{report.system}': {report.problems[0]}", hint=report.remedy)


def _prompts(given: tuple[str, ...]) -> Any:
    from services.errors import UsageError
    from services.systems.system import Prompts

    pairs = dict(item.partition("=")[::2] for item in given)
    if unknown := set(pairs) - {"query", "passage"} or {item for item in given if "=" not in item}:
        raise UsageError(f"--prompt {sorted(unknown)[0]}: not query=TEXT or passage=TEXT")
    return Prompts(**pairs)
