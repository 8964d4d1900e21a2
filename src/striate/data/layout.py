"""From the names of files to classes and splits: one rule for folders and archives.

An image's class is the folder it lies in, directly below the root, or below ``train/``, ``val/``, ``test/`` (in any of
the usual spellings). A folder that alone wraps all of this is entered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from striate.core.errors import DataError
from striate.data.stores import Store

TRAIN, VALIDATION, TEST = "train", "validation", "test"

SPLITS: Mapping[str, str] = {
    "train": TRAIN,
    "training": TRAIN,
    "train_set": TRAIN,
    "training_set": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "val_set": VALIDATION,
    "validation_set": VALIDATION,
    "test": TEST,
    "testing": TEST,
    "test_set": TEST,
    "testing_set": TEST,
}
"""The spellings of splits, in lower case."""

_ENDINGS = ".jpg .jpeg .jpe .jfif .mpo .png .apng .gif .bmp .dib .webp .tif .tiff .ppm .pgm .pbm .pnm .jp2 .j2k .avif"

IMAGES = frozenset(_ENDINGS.split())
"""Endings of the names of images, in lower case."""

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".zip")
"""Endings of the names of archives, in lower case."""

_CLUTTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Files and folders of a source, and the way to those that are chosen.

    Args:
        files: Paths with slashes.
        folders: Paths of folders.
        choose: Makes the store of the files at the given positions.
    """

    files: Sequence[str]
    folders: frozenset[str]
    choose: Callable[[Sequence[int]], Store]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the names say.

    Args:
        rows: Positions, among the given files, of the images that have a class; ordered by name.
        labels: The class of each.
        splits: The split of each; None where the names tell of none.
        classes: Every class folder that was seen, in natural order, empty ones too.
        skipped: Names that were left out, each with the reason.
    """

    rows: list[int]
    labels: list[str]
    splits: list[str] | None
    classes: tuple[str, ...]
    skipped: dict[str, str]


def natural(name: str) -> tuple[object, ...]:
    """A key that sorts ``"2"`` before ``"10"``, and letters whatever their case.

    Example:
        >>> sorted(["10", "9", "b2", "B10"], key=natural)
        ['9', '10', 'b2', 'B10']
    """
    parts = re.split(r"([0-9]+)", name)
    return (*((0, int(p)) if p.isascii() and p.isdigit() else (1, p.casefold()) for p in parts if p), (2, name))


def is_image(name: str) -> bool:
    """Whether a name ends as those of images do."""
    return PurePosixPath(name).suffix.lower() in IMAGES


def is_archive(name: str) -> bool:
    """Whether a name ends as those of archives do."""
    return name.lower().endswith(ARCHIVES)


def is_clutter(part: str) -> bool:
    """Whether a file or folder of this name is what systems leave about: hidden, or a store of thumbnails."""
    return part.startswith(".") or part.lower() in _CLUTTER


def name_splits(found: Collection[str]) -> dict[str, str]:
    """What each found split serves as: a ``val`` without a ``test`` is the test split.

    Raises:
        DataError: There are splits, and none is for training.
    """
    if TRAIN not in found:
        raise DataError(
            f"the data has {' and '.join(sorted(found))} but nothing to train on", hint="add a train folder or split"
        )
    roles = {split: split for split in found}
    if VALIDATION in found and TEST not in found:
        roles[VALIDATION] = TEST
    return roles


def arrange(files: Sequence[str], folders: Collection[str]) -> Layout:
    """Find classes and splits.

    Args:
        files: Paths within the source, with slashes.
        folders: Folders within the source, those without files too.

    Raises:
        DataError: There is no image in any class folder.
    """
    rows = sorted(
        (i for i, name in enumerate(files) if not any(map(is_clutter, name.split("/")))), key=files.__getitem__
    )
    holding = {_parent(files[i]) for i in rows if is_image(files[i])}
    if not holding:
        packed = next((files[i] for i in rows if is_archive(files[i])), None)
        raise DataError(
            "there is no image" if packed is None else f"there is no image, but the archive {packed}",
            hint=f"images end in one of {', '.join(sorted(IMAGES))}; put them in class folders"
            if packed is None
            else "name the archive itself in place of its folder, or unpack it",
        )
    known = {f for f in folders if not any(map(is_clutter, f.split("/")))} | holding
    base = _enter(holding)
    tops = _children(base, known)
    splits = _split_folders(base, tops, holding)
    homes = dict(_homes(base, tops, splits, known))
    if not any(folder in homes for folder in holding):
        raise DataError("the images lie in no class folder", hint="make one folder per class and put them there")

    kept: list[int] = []
    labels: list[str] = []
    sides: list[str] = []
    skipped: dict[str, str] = {}
    for row in rows:
        name = files[row]
        home = homes.get(_parent(name))
        if home is not None and is_image(name):
            kept.append(row)
            labels.append(home[0])
            sides.append(home[1])
        elif home is not None:
            skipped[name] = "its name does not end as those of readable images do"
        elif is_image(name):
            skipped[name] = "it lies in no class folder"
    return Layout(
        rows=kept,
        labels=labels,
        splits=sides if splits else None,
        classes=tuple(sorted({label for label, _ in homes.values()}, key=natural)),
        skipped=skipped,
    )


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _join(base: str, part: str) -> str:
    return f"{base}/{part}" if base else part


def _below(base: str, folder: str) -> str | None:
    """The path of `folder` seen from `base`; None unless it lies below."""
    if not base:
        return folder or None
    return folder[len(base) + 1 :] if folder.startswith(base + "/") else None


def _children(base: str, folders: Iterable[str]) -> set[str]:
    return {below.split("/", 1)[0] for folder in folders if (below := _below(base, folder))}


def _enter(holding: set[str]) -> str:
    """The folder where classes or splits lie: past folders that wrap everything and hold no image themselves."""
    base = ""
    while base not in holding:
        children = _children(base, holding)
        inner = _join(base, next(iter(children)))
        if len(children) > 1 or inner in holding:
            break
        base = inner
    return base


def _split_folders(base: str, tops: set[str], holding: set[str]) -> dict[str, str]:
    """Folders that are splits: with class folders in them, and nothing else beside them or two of them at least."""
    full = _children(base, holding)
    found = {
        top: SPLITS[top.lower()]
        for top in tops
        if top.lower() in SPLITS and _join(base, top) not in holding and _children(_join(base, top), holding)
    }
    return found if len(set(found.values())) > 1 or (found and full == set(found)) else {}


def _homes(
    base: str, tops: set[str], splits: Mapping[str, str], known: Iterable[str]
) -> Iterable[tuple[str, tuple[str, str]]]:
    """For each folder with a class: its path, and its class and split ("" where there are none)."""
    for folder in known:
        below = _below(base, folder)
        parts = below.split("/") if below else []
        if not splits and parts and parts[0] in tops:
            yield folder, (parts[0], "")
        elif len(parts) > 1 and parts[0] in splits:
            yield folder, (parts[1], splits[parts[0]])
