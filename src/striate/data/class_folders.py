"""Which folders are splits and which are classes, and what could be read either way."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from unicodedata import normalize

from striate.core.errors import DataError
from striate.core.words import command_line
from striate.data.split_names import TRAIN, UNLABELLED, is_annotation, is_container, role, roles

AS_CLASSES = "classes:"
"""Data that begins with this has one folder per class, whatever the folders are called."""

_SHOWN = 4


def parent(name: str) -> str:
    """The folder that a file or folder is in, "" for the root."""
    return name.rpartition("/")[0]


def join(base: str, part: str) -> str:
    """The path of a folder in `base`, which is "" for the root."""
    return f"{base}/{part}" if base else part


def relative(base: str, folder: str) -> str | None:
    """The path of `folder` relative to `base`; None if it is not below it."""
    if not base:
        return folder or None
    return folder[len(base) + 1 :] if folder.startswith(base + "/") else None


def children(base: str, folders: Iterable[str]) -> set[str]:
    """The names of the folders in `base` that are or contain some of `folders`."""
    return {inside.split("/", 1)[0] for folder in folders if (inside := relative(base, folder))}


class Tree:
    """The folders with images.

    Args:
        direct: Those that hold images themselves.
    """

    def __init__(self, direct: Collection[str]) -> None:
        self.direct = direct
        self.inside: Mapping[str, set[str]] = defaultdict(set)
        """For each folder, the names of the folders in it with images at any depth."""
        for folder in direct:
            while folder:
                around, _, name = folder.rpartition("/")
                if name in self.inside[around]:
                    break
                self.inside[around].add(name)
                folder = around

    def only(self, folder: str) -> str | None:
        """The folder that all images in `folder` are in; None without one."""
        inside = self.inside[folder]
        return next(iter(inside)) if len(inside) == 1 and folder not in self.direct else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A folder that is a split.

    Args:
        top: Its name.
        path: The folder that has its class folders: itself, or one inside it such as ``seg_train/seg_train``.
        role: ``train``, ``validation``, ``test`` or ``unlabelled``.
        classes: Names of its class folders; none if its images are unlabelled.
    """

    top: str
    path: str
    role: str
    classes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Places:
    """Where classes are: the folders in `base`, or in the split folders in it."""

    base: str
    tops: Collection[str]
    parts: Mapping[str, Part]

    @functools.cached_property
    def around(self) -> set[str]:
        """The folders whose folders are classes."""
        return {part.path for part in self.parts.values() if part.classes} if self.parts else {self.base}

    def part(self, name: str) -> Part | None:
        """The split folder that a file or folder is in."""
        inside = relative(self.base, name)
        return self.parts.get(inside.split("/", 1)[0]) if inside else None

    def home(self, folder: str) -> tuple[str, str] | None:
        """Class and split ("" without splits) of the images in a folder; None if it belongs to no class."""
        if not self.parts:
            inside = relative(self.base, folder)
            top = inside.split("/", 1)[0] if inside else ""
            return (normalize("NFC", top), "") if top in self.tops else None
        part = self.part(folder)
        inside = relative(part.path, folder) if part is not None and part.classes else None
        return (normalize("NFC", inside.split("/", 1)[0]), part.role) if part is not None and inside else None


def enter(tree: Tree, *, splits: bool) -> str:
    """The folder that has the classes or splits: a single folder without images of its own is entered.

    Args:
        tree: The folders with images.
        splits: Whether to stop at a single split folder, unless there are splits in it.
    """
    base = ""
    while (name := tree.only(base)) is not None:
        inner = join(base, name)
        if inner in tree.direct or (splits and role(name) and not roles(tree.inside[inner])):
            break
        base = inner
    return base


def find_parts(tree: Tree, base: str) -> tuple[Part, ...]:
    """The split folders in `base`."""
    found = []
    for top, meant in roles(sorted(tree.inside[base])).items():
        path = join(base, top)
        while (name := tree.only(path)) is not None and (is_container(name) or role(name) == meant):
            path = join(path, name)
        inside = frozenset() if meant == UNLABELLED else frozenset(tree.inside[path])
        found.append(Part(top=top, path=path, role=meant, classes=inside))
    trained = {name for part in found if part.role == TRAIN for name in part.classes}
    # A generator of images needs a folder, so unlabelled test images often stand in test/unknown/.
    return tuple(
        Part(top=part.top, path=part.path, role=part.role)
        if trained and part.role != TRAIN and len(part.classes) == 1 and not part.classes & trained
        else part
        for part in found
    )


# ---------------------------------------------------------------------- what could be read in two ways


def refuse_doubt(tree: Tree, base: str, tops: Collection[str], parts: Sequence[Part], source: str) -> None:
    """Refuse folders that may be splits as well as classes.

    Raises:
        DataError: They may.
    """
    full = tree.inside[base]
    others = full - {part.top for part in parts}
    labelled = [part for part in parts if part.classes]
    if parts and others and not _are_splits(labelled):
        raise DataError(
            f"{_listed(part.top for part in parts)} {'is' if len(parts) == 1 else 'are'} named like "
            f"{'a split' if len(parts) == 1 else 'splits'}, but {_listed(others)} "
            f"{'stands' if len(others) == 1 else 'stand'} beside {'it' if len(parts) == 1 else 'them'}",
            hint=f"move away what is not data, or name the splits train, val and test; {_otherwise(source)}",
        )
    if parts and not labelled:
        raise DataError(
            f"{_listed(part.top for part in parts)} {'is' if len(parts) == 1 else 'are'} named like "
            f"{'a split' if len(parts) == 1 else 'splits'} and {'has' if len(parts) == 1 else 'have'} no class folders",
            hint="create one folder per class in each split, or write a manifest (path,label,split); "
            f"{_otherwise(source)}",
        )
    for around, classes in [(part.path, part.classes) for part in labelled] or [(base, tops)]:
        _refuse_containers(classes, source)
        _refuse_same_inside(tree, around, source)


def _are_splits(labelled: Sequence[Part]) -> bool:
    """Whether folders are splits without doubt, even beside other folders: two have the same class."""
    counts = Counter(name for names in _by_role(labelled).values() for name in names)
    return any(count > 1 for count in counts.values())


def _by_role(parts: Iterable[Part]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for part in parts:
        found[part.role] |= part.classes
    return found


def _refuse_containers(classes: Collection[str], source: str) -> None:
    """Refuse ``images`` and ``labels`` as classes."""
    containers = {name for name in classes if is_container(name)}
    annotations = {name for name in classes if is_annotation(name)}
    if len(classes) > 1 and containers and (annotations or containers == set(classes)):
        raise DataError(
            f"{_listed(containers | annotations)} are named like images and annotations, not like classes",
            hint=f"create one folder per class, or write a manifest (path,label); {_otherwise(source)}",
        )


def _refuse_same_inside(tree: Tree, base: str, source: str) -> None:
    """Refuse classes of which most hold the same folders: the classes may be one level down."""
    inside: dict[str, set[str]] = {}
    for top in tree.inside[base]:
        path = join(base, top)
        while (name := tree.only(path)) is not None and (join(path, name) in tree.direct or not role(name)):
            path = join(path, name)
        inside[top] = set() if path in tree.direct else tree.inside[path]
    counts = Counter(name for names in inside.values() for name in names)
    shared = {name for name, count in counts.items() if count > 1 and 2 * count >= len(inside)}
    enough = 1 if any(map(role, shared)) else 2
    alike = [top for top, names in inside.items() if len(names & shared) >= max(enough, len(names) / 2)]
    if 2 * len(alike) > len(inside):
        raise DataError(
            f"{_listed(alike)} hold the same folders: {_listed(shared)}; the classes may be one level down",
            hint=f"name the splits train, val and test, or write a manifest (path,label); {_otherwise(source)}",
        )


def _listed(names: Iterable[str]) -> str:
    ordered = [repr(name) for name in sorted(names)]
    if len(ordered) > _SHOWN:
        return f"{', '.join(ordered[:_SHOWN])} and {len(ordered) - _SHOWN} more"
    return " and ".join(filter(None, [", ".join(ordered[:-1]), ordered[-1]]))


def _otherwise(source: str) -> str:
    return f"if each folder is a class, say so: {command_line('striate', 'check', AS_CLASSES + source)}"
