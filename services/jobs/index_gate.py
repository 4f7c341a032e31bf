"""The gate of an index version, run by the job that built it or once more by a person."""

from __future__ import annotations

from collections.abc import Iterable

from services.collections.collection import Collection
from services.elastic import gate, versions
from services.elastic.mapping import ServedSystem
from services.elastic.versions import Version
from services.encoding.vectors import TermWeights, Vectors, open_rows
from services.errors import CheckFailed, NotFound
from services.jobs.kind import Context
from services.systems.registry import Registry


def judge(context: Context, collection: Collection, made: Version) -> tuple[Version, list[gate.Check]]:
    """Run the gate and write its verdict into the version's provenance.

    Raises:
        CheckFailed: a check did not pass; the version is marked failed.
    """
    client = context.elastic()
    vectors = vectors_of(context, collection, made.meta.systems.values())
    checks = gate.Gate(client, collection, made, vectors, context.settings.senders, context.checkpoint).run()
    for check in checks:
        context.log(f"{'pass' if check.passed else 'FAIL'}  {check.name}: {check.found}")
    measured = gate.summary(checks)
    try:
        gate.verdict(made, checks)
    except CheckFailed as error:
        versions.mark(client, made, state="failed", reason=error.message, gate=measured)
        raise
    return versions.mark(
        client, made, state="complete", reason="", gate=measured, completed=versions.now()
    ), checks


def judge_again(context: Context, made: Version) -> tuple[list[gate.Check], list[str]]:
    """Run the gate once more, on any version; one that had failed is complete when it passes now.

    Returns:
        The checks, and notes on what could not be checked because the store has moved on.

    Raises:
        NotFound: the collection's state is not in the store any more.
    """
    collection = Collection.open(context.store, made.collection, made.meta.collection_version)
    vectors: dict[str, Vectors | TermWeights] = {}
    notes = []
    for slug, system in made.meta.systems.items():
        try:
            vectors |= vectors_of(context, collection, [system])
        except NotFound as error:
            notes.append(f"{gate.search_of(system)} is not checked ({slug}): {error.message}")
    checks = gate.Gate(context.elastic(), collection, made, vectors, context.settings.senders).run()
    if made.meta.state == "failed" and not notes and all(check.passed for check in checks):
        versions.mark(
            context.elastic(),
            made,
            state="complete",
            reason="",
            gate=gate.summary(checks),
            completed=versions.now(),
        )
    return checks, notes


def vectors_of(
    context: Context, collection: Collection, systems: Iterable[ServedSystem]
) -> dict[str, Vectors | TermWeights]:
    """By slug, the vectors and term weights that a version holds.

    Raises:
        NotFound: they are not in the store any more, or others are.
    """
    registry, found = Registry.load(context.store), dict[str, Vectors | TermWeights]()
    for system in systems:
        vectors = open_rows(collection, registry.get(system.name))
        if vectors is None or vectors.fingerprint != system.fingerprint:
            raise NotFound(
                f"the vectors of '{system.name}' that the index was planned with are gone",
                hint=f"`msmctl index build --collection {collection.name} --system {system.name} --force`",
            )
        found[system.slug] = vectors
    return found
