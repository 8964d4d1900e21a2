"""A registry of named entries that suggests similar names for unknown ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Generic, TypeVar, final

from striate.core.errors import StriateError

T = TypeVar("T")


def nearest(name: str, known: list[str], limit: int = 4) -> list[str]:
    """Find the names in `known` that are most similar to `name`.

    Args:
        name: A misspelled name. Case, hyphens and underscores are ignored.
        known: The valid names.
        limit: Maximum number of names returned.

    Returns:
        Similar names, the most similar first; an empty list if there is none.
    """
    flat = {k.replace("-", "").replace("_", "").lower(): k for k in known}
    wanted = name.replace("-", "").replace("_", "").lower()
    hits = difflib.get_close_matches(wanted, list(flat), n=limit, cutoff=0.5)
    return [flat[h] for h in hits]


@final
class Registry(Generic[T]):
    """A mapping from names and aliases to entries, in the order of registration.

    Args:
        noun: What messages call an entry, such as ``"network"``.
        error: The exception raised for an unknown name.
    """

    def __init__(self, noun: str, error: type[StriateError]) -> None:
        self._noun = noun
        self._error = error
        self._entries: dict[str, T] = {}
        self._aliases: dict[str, str] = {}

    def add(self, name: str, entry: T, *, aliases: tuple[str, ...] = ()) -> None:
        """Add an entry.

        Args:
            name: Its name.
            entry: The entry.
            aliases: Other names of the entry.

        Raises:
            ValueError: A name or alias is registered already.
        """
        for each in (name, *aliases):
            if each in self._entries or each in self._aliases:
                raise ValueError(f"{self._noun} {each!r} is registered twice")
        self._entries[name] = entry
        self._aliases.update(dict.fromkeys(aliases, name))

    def replace(self, name: str, entry: T) -> None:
        """Add an entry in place of the one that had this name before, if any."""
        self._entries[name] = entry

    def get(self, name: str) -> T:
        """Look up an entry by name or alias.

        Raises:
            StriateError: No entry has this name; the type is the `error` of the registry.
        """
        name = self._aliases.get(name, name)
        if name not in self._entries:
            close = nearest(name, [*self._entries, *self._aliases])
            hint = f"did you mean {', '.join(close)}?" if close else f"choose from {', '.join(self._entries)}"
            raise self._error(f"unknown {self._noun} {name!r}", hint=hint)
        return self._entries[name]

    def aliases(self, name: str) -> tuple[str, ...]:
        """The aliases of the entry called `name`."""
        return tuple(alias for alias, target in self._aliases.items() if target == name)

    def names(self) -> list[str]:
        """All names without aliases, in the order of registration."""
        return list(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._aliases

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
