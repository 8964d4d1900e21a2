"""From file names to classes and splits: one rule for folders and archives.

The class of an image is the folder directly below the root, or directly below ``train/``, ``val/`` or ``test/`` (in any
of the usual spellings). A single folder around all of this is entered.
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
"""The known names of split folders, in lower case."""

_ENDINGS = ".jpg .jpeg .jpe .jfif .mpo .png .apng .gif .bmp .dib .webp .tif .tiff .ppm .pgm .pbm .pnm .jp2 .j2k .avif"

IMAGES = frozenset(_ENDINGS.split())
"""Extensions of image files, in lower case."""

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".zip")
"""Extensions of archives, in lower case."""

_CLUTTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files and folders of a source, and a way to read some of the files.

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
    """The classes and splits of a source.

    Args:
        rows: Positions of the images that have a class among the given files, sorted by name.
        labels: The class of each image.
        splits: The split of each image; None if there are no split folders.
        classes: All class folders in natural order, including empty ones.
        skipped: The files that were left out, each with the reason.
    """

    rows: list[int]
    labels: list[str]
    splits: list[str] | None
    classes: tuple[str, ...]
    skipped: dict[str, str]


def natural(name: str) -> tuple[object, ...]:
    """A sort key that puts ``"2"`` before ``"10"`` and ignores case.

    Example:
        >>> sorted(["10", "9", "b2", "B10"], key=natural)
        ['9', '10', 'b2', 'B10']
    """
    parts = re.split(r"([0-9]+)", name)
    return (*((0, int(p)) if p.isascii() and p.isdigit() else (1, p.casefold()) for p in parts if p), (2, name))


def is_image(name: str) -> bool:
    """Whether a file name has the extension of an image."""
    return PurePosixPath(name).suffix.lower() in IMAGES


def is_archive(name: str) -> bool:
    """Whether a file name has the extension of an archive."""
    return name.lower().endswith(ARCHIVES)


def is_clutter(part: str) -> bool:
    """Whether a file or folder of this name is hidden or was left by the operating system, such as ``Thumbs.db``."""
    return part.startswith(".") or part.lower() in _CLUTTER


def name_splits(found: Collection[str]) -> dict[str, str]:
    """The role of each split: a validation split without a test split is the test split.

    Raises:
        DataError: There is no training split.
    """
    if TRAIN not in found:
        raise DataError(
            f"the data has a split {' and '.join(sorted(found))} but no split for training",
            hint="add a train folder or split",
        )
    roles = {split: split for split in found}
    if VALIDATION in found and TEST not in found:
        roles[VALIDATION] = TEST
    return roles


def arrange(files: Sequence[str], folders: Collection[str]) -> Layout:
    """Find classes and splits.

    Args:
        files: Paths within the source, with slashes.
        folders: Folders within the source, including empty ones.

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
            hint=f"the extension of an image is one of {', '.join(sorted(IMAGES))}; put images in class folders"
            if packed is None
            else "give the path of the archive itself instead of its folder, or unpack it",
        )
    known = {f for f in folders if not any(map(is_clutter, f.split("/")))} | holding
    base = _enter(holding)
    tops = _children(base, known)
    splits = _split_folders(base, tops, holding)
    homes = dict(_homes(base, tops, splits, known))
    if not any(folder in homes for folder in holding):
        raise DataError(
            "the images are not in class folders", hint="create one folder per class and move the images there"
        )

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
            skipped[name] = "it does not have the extension of a supported image format"
        elif is_image(name):
            skipped[name] = "it is not in a class folder"
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
    """The path of `folder` relative to `base`; None if it is not below it."""
    if not base:
        return folder or None
    return folder[len(base) + 1 :] if folder.startswith(base + "/") else None


def _children(base: str, folders: Iterable[str]) -> set[str]:
    return {below.split("/", 1)[0] for folder in folders if (below := _below(base, folder))}


def _enter(holding: set[str]) -> str:
    """The folder that contains the classes or splits: single folders without images of their own are entered."""
    base = ""
    while base not in holding:
        children = _children(base, holding)
        inner = _join(base, next(iter(children)))
        if len(children) > 1 or inner in holding:
            break
        base = inner
    return base


def _split_folders(base: str, tops: set[str], holding: set[str]) -> dict[str, str]:
    """The split folders: they contain class folders, and there are at least two of them or no other folders."""
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
    """The path, class and split ("" without splits) of each folder that belongs to a class."""
    for folder in known:
        below = _below(base, folder)
        parts = below.split("/") if below else []
        if not splits and parts and parts[0] in tops:
            yield folder, (parts[0], "")
        elif len(parts) > 1 and parts[0] in splits:
            yield folder, (parts[1], splits[parts[0]])
