"""Names of the classes that published weights know, in the order of their outputs.

A set is a text file beside this module: a class a line, its name first; ImageNet's lines are synset, name and synonyms
separated by tabs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from striate.core.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSet:
    """The classes of a data set, in the order of a network's outputs.

    Args:
        name: Such as ``"imagenet-1k"``.
        names: One name a class, unique unless `synsets` tell equal names apart.
        synsets: WordNet ids (``"n01440764"``), one a class; empty where the set has none.
        synonyms: All names of each class; empty where the set has none.
    """

    name: str
    names: tuple[str, ...]
    synsets: tuple[str, ...] = ()
    synonyms: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def index(self, label: str) -> int | None:
        """The output that a label means: by synset, then by name or synonym, then by number.

        Args:
            label: Such as ``"n01440764"``, ``"tench"``, ``"Tinca tinca"``, or ``"0"``. Case, spaces, hyphens and
                underscores make no difference.

        Returns:
            The position, or None when no class answers.

        Raises:
            DataError: More than one class answers; the message names them by synset.
        """
        if label in self.synsets:
            return self.synsets.index(label)
        wanted = _flat(label)
        for each in (self.names, *_columns(self.synonyms)):
            hits = [position for position, name in enumerate(each) if name is not None and _flat(name) == wanted]
            if len(hits) > 1:
                raise self._ambiguous(label, hits)
            if hits:
                return hits[0]
        return int(label) if label.isdecimal() and int(label) < len(self.names) else None

    def _ambiguous(self, label: str, positions: list[int]) -> DataError:
        """The error that says which classes a label could mean, and what each of them is called by itself."""
        ids = [self.synsets[p] if self.synsets else str(p) for p in positions]
        both = [
            f"{each} (number {p})" if self.synsets else f"number {p}" for each, p in zip(ids, positions, strict=True)
        ]
        return DataError(
            f"{label!r} could mean {len(positions)} classes of this model: {' and '.join(both)}",
            hint=f"call the class by one of {' or '.join(ids)}",
        )


def _flat(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").casefold().strip()


def _columns(rows: tuple[tuple[str, ...], ...]) -> list[list[str | None]]:
    longest = max((len(row) for row in rows), default=0)
    return [[row[column] if column < len(row) else None for row in rows] for column in range(longest)]


@cache
def read(name: str) -> LabelSet:
    """The label set called `name`.

    Raises:
        DataError: The package has no such set.
    """
    file = files(__name__) / f"{name}.txt"
    if not file.is_file():
        raise DataError(f"no label set is called {name!r}", hint=f"known: {', '.join(known())}")
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()]
    if len(rows[0]) == 1:
        return LabelSet(name=name, names=tuple(row[0] for row in rows))
    return LabelSet(
        name=name,
        names=tuple(row[1] for row in rows),
        synsets=tuple(row[0] for row in rows),
        synonyms=tuple(tuple(row[2].split(", ")) for row in rows),
    )


def known() -> list[str]:
    """Names of the label sets in the package."""
    return sorted(each.name.removesuffix(".txt") for each in files(__name__).iterdir() if each.name.endswith(".txt"))
