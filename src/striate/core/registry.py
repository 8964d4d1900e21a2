"""A named collection with near-miss suggestions."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Generic, TypeVar, final

from striate.core.errors import StriateError

T = TypeVar("T")


def nearest(name: str, known: list[str], most: int = 4) -> list[str]:
    """The names in `known` most like `name`, best first."""
    flat = {k.replace("-", "").replace("_", "").lower(): k for k in known}
    wanted = name.replace("-", "").replace("_", "").lower()
    hits = difflib.get_close_matches(wanted, list(flat), n=most, cutoff=0.5)
    return [flat[h] for h in hits]


@final
class Registry(Generic[T]):
    """Names to things, in the order they were added.

    Args:
        noun: What one entry is called in messages, such as ``"network"``.
        error: The error raised for an unknown name.
    """

    def __init__(self, noun: str, error: type[StriateError]) -> None:
        self._noun = noun
        self._error = error
        self._things: dict[str, T] = {}
        self._aliases: dict[str, str] = {}

    def add(self, name: str, thing: T, *, aliases: tuple[str, ...] = ()) -> None:
        """Add `thing` under `name`; a name or alias may be taken only once."""
        for each in (name, *aliases):
            if each in self._things or each in self._aliases:
                raise ValueError(f"{self._noun} {each!r} is registered twice")
        self._things[name] = thing
        self._aliases.update(dict.fromkeys(aliases, name))

    def get(self, name: str) -> T:
        """The thing called `name` (or by one of its aliases)."""
        name = self._aliases.get(name, name)
        if name not in self._things:
            close = nearest(name, [*self._things, *self._aliases])
            hint = f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(self._things)}"
            raise self._error(f"no {self._noun} is called {name!r}", hint=hint)
        return self._things[name]

    def aliases(self, name: str) -> tuple[str, ...]:
        """The other names of the thing called `name`."""
        return tuple(alias for alias, target in self._aliases.items() if target == name)

    def names(self) -> list[str]:
        """Every name, in the order of registration, aliases left out."""
        return list(self._things)

    def __contains__(self, name: object) -> bool:
        return name in self._things or name in self._aliases

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)
