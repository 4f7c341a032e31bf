"""`msmctl ce`: the cross-encoders that score pairs, and their models in the store."""

from __future__ import annotations

from typing import Any

import click

from cli.options import json_option, settings, store
from cli.output import emit_record, emit_rows, say
from services.counted import counted


@click.group()
def ce() -> None:
    """List, add and fetch the cross-encoders that score candidates.

    \b
    Example:
      msmctl ce ls
      msmctl ce add my-reranker --model ./my-reranker
    """


@ce.command("ls")
@json_option
@click.pass_context
def list_cross_encoders(ctx: click.Context, as_json: bool) -> None:
    """List all cross-encoders; `fingerprint` is that of the model in the store.

    \b
    Example:
      msmctl ce ls --json
    """
    from services.cross_encoders.models import describe, installed
    from services.cross_encoders.registry import CrossEncoders

    artefacts = store(ctx)
    rows = [describe(one, installed(artefacts, one)) for one in CrossEncoders.load(artefacts)]
    emit_rows(rows, ["name", "kind", "max_length", "margin", "fingerprint"], as_json=as_json)


@ce.command()
@click.argument("name")
@json_option
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show one cross-encoder, its figures and their sources, and its model. Any spelling will do.

    \b
    Example:
      msmctl ce show ms-marco-MiniLM-L-6-v2
    """
    from services.cross_encoders.models import describe, installed
    from services.cross_encoders.registry import CrossEncoders

    artefacts = store(ctx)
    one = CrossEncoders.load(artefacts).get(name)
    emit_record(describe(one, installed(artefacts, one)), as_json=as_json)


@ce.command()
@click.argument("name")
@click.option("--model", "origin", required=True, help="Model folder, or hub id (organisation/name).")
@click.option("--max-length", type=click.IntRange(min=8), help="Tokens after which a pair is cut.")
@click.option(
    "--margin",
    type=click.FloatRange(min=0),
    help="Default of the filter ce-margin, in logits of this model.",
)
@click.option("--template-of", help="For a decoder: the cross-encoder whose template it was trained with.")
@click.option("--revision", help="Commit, branch or tag on the hub.")
@click.option("--replace", is_flag=True, help="Replace a cross-encoder that a user added before.")
@json_option
@click.pass_context
def add(
    ctx: click.Context, /, name: str, origin: str, template_of: str | None, as_json: bool, **stated: Any
) -> None:
    """Register a cross-encoder of your own and copy its model into the store.

    \b
    Example:
      msmctl ce add my-reranker --model ./my-reranker --margin 2.5
      msmctl ce add my-decoder --model ./my-decoder --template-of Qwen3-Reranker-0.6B
    """
    from services.cross_encoders.models import add as add_cross_encoder
    from services.cross_encoders.models import describe
    from services.cross_encoders.registry import CrossEncoders

    artefacts = store(ctx)
    template = CrossEncoders.load(artefacts).get(template_of).template if template_of else None
    one, model = add_cross_encoder(artefacts, name, origin, template=template, **stated)
    say(f"added {one.name}: {counted(len(model.files), 'files')}, {model.bytes:,} bytes")
    emit_record(describe(one, model), as_json=as_json)


@ce.command()
@click.argument("name")
@click.option("--from", "origin", help="Model folder or hub id; default: the registry's id.")
@click.option(
    "--revision", help="Commit, branch or tag on the hub; default: the newest, pinned by its commit."
)
@json_option
@click.pass_context
def pull(ctx: click.Context, name: str, origin: str | None, revision: str | None, as_json: bool) -> None:
    """Copy a cross-encoder's model into the store, where workers find it.

    \b
    Example:
      msmctl ce pull ms-marco-MiniLM-L6-v2 --from ./ms-marco-MiniLM-L6-v2
    """
    from services.cross_encoders.models import pull as pull_model
    from services.cross_encoders.registry import CrossEncoders

    artefacts = store(ctx)
    model = pull_model(artefacts, CrossEncoders.load(artefacts).get(name), origin, revision)
    emit_record({"ce": model.ce, **model.pulled()}, as_json=as_json)


@ce.command()
@click.argument("name")
@json_option
@click.pass_context
def verify(ctx: click.Context, name: str, as_json: bool) -> None:
    """Check a model's files, load it and score two pairs; exit status 1 if anything is wrong.

    \b
    Example:
      msmctl ce verify my-reranker
    """
    from services.errors import CheckFailed
    from services.scoring.verify import verify_cross_encoder

    report = verify_cross_encoder(store(ctx), settings(ctx), name)
    emit_record(report.model_dump(mode="json"), as_json=as_json)
    if report.problems:
        raise CheckFailed(f"cross-encoder '{report.ce}': {report.problems[0]}", hint=report.remedy)
