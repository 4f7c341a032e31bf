"""`msmctl encode`: vectors of a collection by a system, into the store."""

from __future__ import annotations

import click

from cli.options import How, collection_option, job_options, opened, system_option


@click.command()
@system_option
@collection_option
@job_options
@click.pass_context
def encode(
    ctx: click.Context,
    systems: list[str],
    collection: str | None,
    how: How,
) -> None:
    """Encode passages and queries into vectors.

    Only what has no vectors yet is encoded: after an update, the ranges with new texts. `mine` and
    `index build` do this by themselves; the command is for doing it ahead, on a machine with a GPU.

    \b
    Example:
      msmctl encode --system all-MiniLM-L6-v2
      msmctl encode --system all-MiniLM-L6-v2 --collection squad --dry-run
    """
    from cli.waiting import run_specs
    from services.errors import InputError
    from services.jobs.kinds.encode import EncodeSpec
    from services.systems.registry import Registry

    chosen = opened(ctx, collection)
    registry = Registry.load(chosen.store)
    found = [registry.retrieving(name) for name in systems]
    for system in found:
        if not system.encodes:
            raise InputError(
                f"system '{system.name}' has no encoder",
                hint="bm25 needs no vectors: `msmctl mine --system bm25`",
            )
    specs = [
        EncodeSpec(collection=chosen.name, collection_version=chosen.state.version, system=system.name)
        for system in found
    ]
    run_specs(ctx, specs, **how)
