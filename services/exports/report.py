"""What `verify` found: counts by kind, the first few examples of each, lengths of lists, what to do next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from services.counted import counted

EXAMPLES = 5
"""Examples shown of each kind of finding."""
_LONGEST = 200

KINDS = {
    "positives": "positives among negatives",
    "judged": "passages judged above zero, but not positive, among negatives",
    "exact_copies": "negatives with the text of a positive",
    "near_copies": "negatives with nearly the text of a positive",
    "repeats": "ids twice in a list or of a query, or queries twice in the file",
    "unknown_pids": "passages that the collection does not have",
    "unknown_qids": "queries that the collection does not have",
    "malformed": "lines that cannot be read",
    "changed": "files that are not as they were written",
}


@dataclass
class SystemLists:
    """What the file holds of one system: lists, ids in them, the shortest and the longest list."""

    required: int | None
    lists: int = 0
    negatives: int = 0
    min: int = 0
    max: int = 0
    enough: int = 0
    """Lists as long as required; where nothing is, as long as the longest."""

    def add(self, length: int) -> None:
        """Count one list."""
        if self.required is not None:
            self.enough += length >= self.required
        elif length >= self.max:
            self.enough = self.enough + 1 if length == self.max and self.lists else 1
        self.min = min(self.min, length) if self.lists else length
        self.max = max(self.max, length)
        self.lists += 1
        self.negatives += length

    def as_dict(self) -> dict[str, int]:
        """The shape of `--json`."""
        return {"lists": self.lists, "negatives": self.negatives, "min": self.min, "max": self.max}


@dataclass
class Report:
    """What was found. `findings` counts every occurrence, `examples` shows the first few of each kind.

    `lines` counts all lines but blank ones, `queries` those that could be read.
    """

    file: str
    collection: str
    required: int | None
    formats: list[str] = field(default_factory=list)
    lines: int = 0
    queries: int = 0
    systems: dict[str, SystemLists] = field(default_factory=dict)
    findings: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    examples: list[dict[str, Any]] = field(default_factory=list)
    part: str | None = None
    """Of a folder, the file that is being read."""

    def add(self, kind: str, line: int, **what: Any) -> None:
        """Count a finding; line 0: it is about the file."""
        self.findings[kind] += 1
        if self.findings[kind] <= EXAMPLES:
            where = {"file": self.part} if self.part else {}
            short = {key: value if key == "what" else _shortened(value) for key, value in what.items()}
            self.examples.append({"finding": kind, **where, "line": line} | short)

    @property
    def negatives(self) -> int:
        """Ids in all lists."""
        return sum(system.negatives for system in self.systems.values())

    def short_lists(self) -> dict[str, int]:
        """Per system, queries with fewer negatives than required (else: than the system's longest list)."""
        return {name: self.queries - system.enough for name, system in self.systems.items()}

    @property
    def ok(self) -> bool:
        """Nothing found, and where a depth is required, a system and no short list."""
        return not any(self.findings.values()) and (
            self.required is None or (bool(self.systems) and not any(self.short_lists().values()))
        )

    def shortcomings(self) -> list[str]:
        """All that makes it not `ok`, in words."""
        said = [f"{KINDS[kind]}: {count:,}" for kind, count in self.findings.items() if count]
        short = sum(self.short_lists().values())
        if self.required is not None and short:
            said.append(f"{counted(short, 'lists')} shorter than {self.required}")
        if self.required is not None and not self.systems:
            said.append(f"no list of any system, and a depth of {self.required} is required")
        return said

    def remedy(self) -> str:
        """What the user can do next where it is not `ok`."""
        kinds = {kind for kind, count in self.findings.items() if count}
        if "changed" in kinds:
            return "make it again with --force; if it was changed on purpose, remove its manifest"
        if not kinds:
            return f"`msmctl mine --depth {self.required}`, then export again"
        if "malformed" in kinds:
            return "is the file whole? fetch or make it again, or mend the lines named"
        if kinds & {"unknown_pids", "unknown_qids"}:
            return f"is it of another collection, or of an earlier state of '{self.collection}'?"
        return "`msmctl export hard-negatives` leaves all of these out"

    def as_dict(self) -> dict[str, Any]:
        """The shape of `--json` (docs/export.md)."""
        return {
            "file": self.file,
            "collection": self.collection,
            "formats": self.formats,
            "lines": self.lines,
            "negatives": self.negatives,
            "systems": {name: system.as_dict() for name, system in self.systems.items()},
            "findings": self.findings,
            "short_lists": self.short_lists(),
            "required_depth": self.required,
            "examples": self.examples,
            "ok": self.ok,
        }


def _shortened(value: Any) -> Any:
    """An id of a hostile file may have millions of characters."""
    return value if not isinstance(value, str) or len(value) <= _LONGEST else f"{value[:_LONGEST]}…"
