"""Which collections there are, and which one is meant when a command names none."""

from __future__ import annotations

from difflib import get_close_matches

from services.collections.collection import manifest_key
from services.errors import MsmError, NotFound, UsageError
from services.store import Store

_KEY = "current"


def existing(store: Store) -> list[str]:
    """Names of the collections, sorted. A folder without a manifest (a killed import) is none."""
    return [name for name in store.children("collections") if store.exists(manifest_key(name))]


def current(store: Store) -> str | None:
    """The collection that `use` chose, while it exists; else the only one; else None.

    Raises:
        MsmError: what `use` wrote is damaged.
    """
    try:
        chosen = store.read_bytes(_KEY).decode().strip()
    except FileNotFoundError:
        chosen = ""
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise _damaged(store, error) from error
    names = existing(store)
    if chosen in names:
        return chosen
    return names[0] if len(names) == 1 else None


def use(store: Store, name: str) -> None:
    """Make a collection the current one; NotFound where there is no such collection."""
    content = f"{resolve(store, name)}\n".encode()
    try:
        store.write_bytes(_KEY, content)
    except IsADirectoryError as error:
        raise _damaged(store, error) from error


def _damaged(store: Store, error: Exception) -> MsmError:
    found = "is a folder" if isinstance(error, IsADirectoryError) else "is no text"
    return MsmError(
        f"{store.location(_KEY)}: {found}, not the current collection's name",
        hint="remove it, then `msmctl collection use NAME`",
    )


def resolve(store: Store, name: str | None, spelling: str = "--collection NAME") -> str:
    """The collection that is meant: the one named, else the current one, else the only one.

    Args:
        store: The store.
        name: As the user gave it, or None.
        spelling: How the command takes a name, for the hint.

    Raises:
        NotFound: there is no such collection, or none at all.
        UsageError: there are several and none is current.
    """
    if name is None:
        chosen = current(store)
        if chosen is not None:
            return chosen
        names = existing(store)
        if names:
            raise UsageError(
                f"which collection? There are {', '.join(names)}",
                hint=f"say {spelling}, or choose one with `msmctl collection use NAME`",
            )
        raise NotFound(
            f"there is no collection in {store.url}",
            hint="make one: msmctl collection import NAME --passages FILE",
        )
    if not store.exists(manifest_key(name)):
        names = existing(store)
        near = ", ".join(get_close_matches(name, names, n=3) or names[:10])
        hint = f"there are: {near}" if near else "msmctl collection import NAME --passages FILE"
        raise NotFound(f"no collection '{name}' in {store.url}", hint=hint)
    return name
