"""The systems there are: `registry.yaml` and those that the user added to the store."""

from __future__ import annotations

from pathlib import Path

from services.errors import UsageError
from services.models.entry import spelling
from services.models.registry import NamedEntries
from services.systems.system import System

_RESERVED = "hybrid"  # in `evaluate` and `search`: all systems of an index, fused


class Registry(NamedEntries[System]):
    """All systems; see `NamedEntries`."""

    noun = "system"
    command = "systems"
    file = Path(__file__).with_name("registry.yaml")
    key = "systems"
    entry = System

    @classmethod
    def require_name(cls, name: str) -> None:
        """UsageError unless a user may call a system so: it is a name, and means nothing else."""
        super().require_name(name)
        if spelling(name) == _RESERVED:
            raise UsageError(
                f"'{name}' cannot be the name of a system: '{_RESERVED}' is the fused search of an index",
                hint="choose another name, such as my-hybrid",
            )

    def retrieving(self, name: str) -> System:
        """The system of that name, which must be one that can be asked.

        Raises:
            NotFound: there is none.
            UsageError: it is known by imported runs only.
        """
        found = self.get(name)
        if found.is_imported:
            raise UsageError(
                f"system '{found.name}' is known by imported runs only: it cannot be asked anything",
                hint="evaluate, score, export and negatives read its runs: `msmctl run ls`; "
                "`msmctl systems ls` lists those that can be asked",
            )
        return found
