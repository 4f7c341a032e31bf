"""That vectors are those of the index."""

from __future__ import annotations

from services.elastic.mapping import ServedSystem
from services.errors import Conflict


def require_checkpoint(system: ServedSystem, found: str) -> None:
    """Conflict where an index holds vectors of another checkpoint, which are not comparable."""
    if found != system.model:
        raise Conflict(
            f"the index holds vectors of another checkpoint of '{system.name}' than the one that answers",
            hint=f"`msmctl index build --collection … --system {system.name}` indexes the present one",
        )


def require_dims(system: ServedSystem, dims: int) -> None:
    """Conflict where what is made of a text has another width than in the index."""
    if dims != system.dims:
        raise Conflict(
            f"the server answers vectors of {dims} dimensions; those of '{system.name}' in the "
            f"index have {system.dims}",
            hint="MSM_EMBED_URL must lead to the model that made the index",
        )
