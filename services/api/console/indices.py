"""Systems and index versions of a collection: list, swap, roll back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path

from services.api.console.console import Console
from services.elastic import versions
from services.elastic.report import summaries
from services.elastic.versions import Version
from services.mining.runs import open_run
from services.systems.models import installed
from services.systems.registry import Registry


def router(console: Console) -> APIRouter:
    """The routes under `/v1/collections/{collection}`."""
    routes = APIRouter(prefix="/v1/collections/{collection}", tags=["indices"])

    @routes.get("/versions")
    def ls(collection: str) -> dict[str, Any]:
        """The versions of a collection's index, as `msmctl index ls --json`."""
        listed = versions.versions(console.elastic, console.settings, collection)
        return {"versions": summaries(console.elastic, listed)}

    @routes.post("/versions/{version}/swap")
    def swap(collection: str, version: Annotated[int, Path(ge=1)]) -> dict[str, Any]:
        """Serve a complete version: both aliases move in one call."""
        return serve(versions.version(console.elastic, console.settings, collection, version))

    @routes.post("/rollback")
    def rollback(collection: str) -> dict[str, Any]:
        """Serve the complete version before the served one again."""
        return serve(versions.previous(console.elastic, console.settings, collection))

    @routes.get("/systems")
    def systems(collection: str) -> dict[str, Any]:
        """The systems that can rank this collection's passages: installed, served or mined."""
        opened = console.collection(collection)
        now = versions.served(console.elastic, console.settings, collection)
        served = {one.name: one for one in now.meta.systems.values()} if now else {}
        rows = []
        for system in Registry.load(console.store):
            mined = [split for split in sorted(opened.state.splits) if open_run(opened, split, system.name)]
            there = installed(console.store, system) is not None if system.is_dense else None
            if there is False and not mined and system.name not in served:
                continue
            rows.append(
                {
                    "name": system.name,
                    "kind": system.kind,
                    "similarity": system.similarity,
                    "dims": served[system.name].dims if system.name in served else None,
                    "installed": there,
                    "served": system.name in served or (system.name == "bm25" and now is not None),
                    "mined": mined,
                }
            )
        return {"systems": rows}

    def serve(target: Version) -> dict[str, Any]:
        before = versions.served(console.elastic, console.settings, target.collection)
        versions.swap(console.elastic, console.settings, target)
        return {
            "collection": target.collection,
            "served": target.n,
            "before": before.n if before else None,
        }

    return routes
