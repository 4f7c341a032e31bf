"""`msmctl encode`: vectors of a collection by a system, into the store."""

from __future__ import annotations

import click

from cli.options import collection_option, job_options, json_option, store, system_option


@click.command()
@system_option
@collection_option
@job_options
@json_option
@click.pass_context
def encode(
    ctx: click.Context,
    systems: list[str],
    collection: str | None,
    detach: bool,
    local: bool,
    force: bool,
    dry_run: bool,
    as_json: bool,
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
    from services.collections.collection import Collection
    from services.collections.current import resolve
    from services.errors import InputError
    from services.jobs.kinds.encode import EncodeSpec
    from services.systems.registry import Registry

    artefacts = store(ctx)
    opened = Collection.open(artefacts, resolve(artefacts, collection))
    registry = Registry.load(artefacts)
    found = [registry.get(name) for name in systems]
    for system in found:
        if not system.is_dense:
            raise InputError(
                f"system '{system.name}' has no encoder",
                hint="bm25 needs no vectors: `msmctl mine --system bm25`",
            )
    specs = [
        EncodeSpec(collection=opened.name, collection_version=opened.state.version, system=system.name)
        for system in found
    ]
    run_specs(ctx, specs, detach=detach, local=local, force=force, dry_run=dry_run, as_json=as_json)
