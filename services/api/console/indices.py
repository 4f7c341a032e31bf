"""Systems and index versions of a collection: list, swap, roll back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path

from services.api.authentication import allowed
from services.api.collections import Collection
from services.api.console.console import Console, Consoled
from services.api.problems import responses
from services.elastic import versions
from services.elastic.report import summaries
from services.elastic.versions import Version
from services.mining.runs import open_run
from services.systems.models import installed
from services.systems.registry import Registry

router = APIRouter(
    prefix="/v1/collections/{collection}", tags=["indices"], dependencies=[Depends(allowed("admin"))]
)


@router.get("/versions", responses=responses())
def ls(console: Consoled, collection: Collection) -> dict[str, Any]:
    """The versions of a collection's index, as `msmctl index ls --json`."""
    listed = versions.versions(console.elastic, console.settings, collection)
    return {"versions": summaries(console.elastic, listed)}


@router.post("/versions/{version}/swap", responses=responses(404, 409))
def swap(
    console: Consoled, collection: Collection, version: Annotated[int, Path(ge=1, le=999_999_999)]
) -> dict[str, Any]:
    """Serve a complete version: both aliases move in one call."""
    return _serve(console, versions.version(console.elastic, console.settings, collection, version))


@router.post("/rollback", responses=responses(404))
def rollback(console: Consoled, collection: Collection) -> dict[str, Any]:
    """Serve the complete version before the served one again."""
    return _serve(console, versions.previous(console.elastic, console.settings, collection))


@router.get("/systems", responses=responses(404))
def systems(console: Consoled, collection: Collection) -> dict[str, Any]:
    """The systems that can rank this collection's passages: installed, served or mined."""
    opened = console.collection(collection)
    now = versions.served(console.elastic, console.settings, collection)
    dims = {one.name: one.dims for one in now.meta.systems.values()} if now else {}
    rows = []
    for system in Registry.load(console.store):
        served = system.name in dims or (system.name == "bm25" and now is not None)
        mined = [split for split in sorted(opened.state.splits) if open_run(opened, split, system.name)]
        there = installed(console.store, system) is not None if system.encodes else None
        if there or served or mined:
            rows.append(
                {
                    "name": system.name,
                    "kind": system.kind,
                    "similarity": system.similarity,
                    "dims": dims.get(system.name),
                    "installed": there,
                    "served": served,
                    "mined": mined,
                }
            )
    return {"systems": rows}


def _serve(console: Console, target: Version) -> dict[str, Any]:
    before = versions.served(console.elastic, console.settings, target.collection)
    versions.swap(console.elastic, console.settings, target)
    return {"collection": target.collection, "served": target.n, "before": before.n if before else None}
