"""From file names to classes and splits: one rule for folders and archives.

The class of an image is the folder directly below the root, or directly below a split folder such as ``train/`` (in any
of the usual spellings, see `split_names`). Single folders around all of this are entered. What could be read in two
ways is refused, because a model of the classes "train" and "test" looks like a good one.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from striate.core.errors import DataError
from striate.data.class_folders import Places, Tree, children, enter, find_parts, join, parent, refuse_doubt, relative
from striate.data.split_names import TEST, VALIDATION
from striate.data.stores import Store

_READ_ENDINGS = (
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .gif .bmp .dib .webp .tif .tiff .ppm .pgm .pbm .pnm .jp2 .j2k .jpx .jpf .j2c"
    " .avif"
)
_UNREAD_ENDINGS = (
    ".heic .heif .hif .heics .avifs .avci .jxl .svg .svgz .eps .ps .psd .psb .xcf .ico .icns .tga .dds .exr .hdr .pcx"
    " .sgi .jxr .wdp .jpc .bpg .qoi .wmf .emf .fits .dcm .dicom .ai .cr2 .cr3 .crw .nef .nrw .arw .srf"
    " .sr2 .dng .orf .rw2 .raf .pef .srw .x3f .3fr .iiq .erf .kdc .dcr .mrw .mos .rwl .raw"
)

_READ, _UNREAD = frozenset(_READ_ENDINGS.split()), frozenset(_UNREAD_ENDINGS.split())
IMAGES = _READ | _UNREAD
"""Extensions of image files, in lower case. A file in a format that cannot be read is an unreadable image: to leave it
out as if it were a text file would hide that half of a class is missing."""

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".zip")
"""Extensions of archives, in lower case."""

_SYSTEM = frozenset(
    {"thumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "recycler", "system volume information", "lost+found"}
    | {"@eadir", "#recycle", "@recycle", "#snapshot", "@recently-snapshot", "@tmp"}  # of network storage
    | {"network trash folder", "temporary items", ".trashes", ".ipynb_checkpoints", ".thumbnails"}
)
_RUN, _OF_A_RUN = "plan.json", frozenset({"log.jsonl", "metrics.json", "model.json", "work"})
_RUNS = "runs"


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
    skipped: dict[str, str] = field(default_factory=dict)


def natural(name: str) -> tuple[object, ...]:
    """A sort key that puts ``"2"`` before ``"10"`` and ignores case.

    Example:
        >>> sorted(["10", "9", "b2", "B10"], key=natural)
        ['9', '10', 'b2', 'B10']
    """
    parts = re.split(r"([0-9]+)", name)
    return (*((0, int(p)) if p.isascii() and p.isdigit() else (1, p.casefold()) for p in parts if p), (2, name))


def _suffix(name: str) -> str:
    stem, _, end = name.rpartition("/")[2].rpartition(".")
    return f".{end.lower()}" if stem and end else ""


def _stem(name: str) -> str:
    return name[: len(name) - len(_suffix(name))]


def is_image(name: str) -> bool:
    """Whether a file name has the extension of an image."""
    return _suffix(name) in IMAGES


def is_read(name: str) -> bool:
    """Whether a file name has the extension of an image in a format that is read."""
    return _suffix(name) in _READ


def is_archive(name: str) -> bool:
    """Whether a file name has the extension of an archive."""
    return name.lower().endswith(ARCHIVES)


def is_clutter(part: str) -> bool:
    """Whether a file or folder of this name is hidden or was left by the operating system, such as ``Thumbs.db``."""
    return part.startswith(".") or is_system(part)


def is_system(part: str) -> bool:
    """Whether a file or folder of this name was left by the operating system or a storage device."""
    return part.lower() in _SYSTEM or part.startswith("._")


def name_splits(found: Collection[str]) -> dict[str, str]:
    """The role of each split: a validation split without a test split is the test split."""
    meant = {split: split for split in found}
    if VALIDATION in found and TEST not in found:
        meant[VALIDATION] = TEST
    return meant


def arrange(
    files: Sequence[str], folders: Collection[str], *, source: str = "DATA", as_classes: bool = False
) -> Layout:
    """Find classes and splits.

    Args:
        files: Paths within the source, with slashes.
        folders: Folders within the source, including empty ones.
        source: The source as the user named it, for the commands in hints.
        as_classes: Whether every folder is a class, whatever it is called.

    Raises:
        DataError: There is no image in any class folder, or the folders may be splits as well as classes.
    """
    runs = _runs(files, folders)
    hidden = functools.cache(lambda folder: _is_hidden(folder, runs))
    rows = [i for i, name in enumerate(files) if not is_clutter(name.rpartition("/")[2]) and not hidden(parent(name))]
    rows.sort(key=files.__getitem__)
    holding = {parent(files[i]) for i in rows if is_image(files[i])}
    if not holding:
        raise _no_image(files, rows, runs)
    known = {f for f in folders if not hidden(f) and not _only_runs(f, runs)} | holding
    tree = Tree(holding)
    base = enter(tree, splits=not as_classes)
    tops = children(base, known) - ({_RUNS} - tree.inside[base])
    parts = () if as_classes else find_parts(tree, base)
    if not as_classes:
        refuse_doubt(tree, base, tops, parts, source)
    places = Places(base, tops, {part.top: part for part in parts})
    classes = {home[0] for folder in known if (home := places.home(folder))}
    if not classes:
        raise DataError(
            "the images are not in class folders", hint="create one folder per class and move the images there"
        )
    layout = Layout(rows=[], labels=[], splits=[] if parts else None, classes=tuple(sorted(classes, key=natural)))
    others = {_stem(files[row]) for row in rows if _suffix(files[row]) in _UNREAD}
    readable = {stem for row in rows if others and is_read(files[row]) and (stem := _stem(files[row])) in others}
    for row in rows:
        _place(layout, row, files[row], places, readable)
    layout.skipped.update(_hidden_classes(files, runs, places))
    return layout


def _place(layout: Layout, row: int, name: str, places: Places, readable: Collection[str]) -> None:
    """Put one file among the images or the skipped files."""
    home = places.home(parent(name))
    if home is not None and _suffix(name) in _UNREAD and _stem(name) in readable:
        layout.skipped[name] = "the same image is there in another format"
    elif home is not None and is_image(name):
        layout.rows.append(row)
        layout.labels.append(home[0])
        if layout.splits is not None:
            layout.splits.append(home[1])
    elif home is not None:
        layout.skipped[name] = "it does not have the extension of an image"
    elif is_image(name):
        part = places.part(name)
        layout.skipped[name] = (
            "it is not in a class folder"
            if part is None or part.classes
            else f"it is unlabelled: the folder {part.top} has no class folders"
        )


# ---------------------------------------------------------------------- what is no data


def _runs(files: Sequence[str], folders: Collection[str]) -> frozenset[str]:
    """The folders of our own runs: they have a ``plan.json`` and what a run writes next to it."""
    found = {parent(name) for name in files if name.rpartition("/")[2] == _RUN}
    if not found:
        return frozenset()
    there = {*files, *folders}
    return frozenset(each for each in found if any(join(each, name) in there for name in _OF_A_RUN))


def _only_runs(folder: str, runs: Collection[str]) -> bool:
    """Whether a folder without images is around a run."""
    return any(relative(folder, run) for run in runs)


def _is_hidden(name: str, runs: Collection[str]) -> bool:
    """Whether a folder is hidden, left by the system, or belongs to a run; the root is not, unless it is a run's."""
    parts = name.split("/")
    if any(map(is_clutter, parts)):
        return True
    return bool(runs) and ("" in runs or any("/".join(parts[: i + 1]) in runs for i in range(len(parts))))


def _no_image(files: Sequence[str], rows: Sequence[int], runs: Collection[str]) -> DataError:
    packed = next((files[i] for i in rows if is_archive(files[i])), None)
    if "" in runs:
        return DataError("it is the folder of a run, not data", hint="give the folder with the images")
    if packed is not None:
        return DataError(
            f"there is no image, but the archive {packed}",
            hint="give the path of the archive itself instead of its folder, or unpack it",
        )
    return DataError(
        "there is no image",
        hint=f"the extension of an image is one of {', '.join(sorted(_READ))}; put images in class folders",
    )


def _hidden_classes(files: Sequence[str], runs: Collection[str], places: Places) -> dict[str, str]:
    """Images in a hidden folder that stands among the class folders."""
    found: dict[str, str] = {}
    for name in files:
        folder = parent(name)
        around, _, last = folder.rpartition("/")
        if not last.startswith(".") or not is_image(name) or is_clutter(name.rpartition("/")[2]):
            continue
        if around in places.around and not _is_hidden(around, runs):
            found[name] = f"its folder {last} is hidden; rename the folder if it is a class"
    return found
