"""Removes a collection from the store."""

from __future__ import annotations

from pathlib import Path

from services.collections import current
from services.collections.collection import folder, manifest_key
from services.collections.lock import exclusive
from services.store import Store


def remove_collection(store: Store, name: str, locks: Path) -> None:
    """Remove a collection with its vectors and runs; index versions stay (`msmctl index rm`).

    The manifest goes first: whatever interrupts the rest, the collection is gone, and the next
    import of the name clears the folder.

    Raises:
        NotFound: there is no such collection.
        Conflict: it is being changed by another process.
    """
    current.resolve(store, name)
    with exclusive(locks, name):
        store.remove(manifest_key(name))
        store.remove(folder(name))
