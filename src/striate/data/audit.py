"""What a person should know about the images before trusting what is trained on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from striate.core.words import plural
from striate.data.headers import Headers, Trait, headers
from striate.data.image_index import ImageIndex
from striate.data.layout import TEST, TRAIN, VALIDATION
from striate.data.split import Splits
from striate.records.results import DataIssue

IMBALANCE = 5
"""The largest class having this many times the images of the smallest is worth a warning."""

SMALL_CLASS = 10
"""Classes with fewer images than this are worth a warning."""

OUTLYING = 8
"""A shorter side this many times smaller or larger than the usual one, or sides of this proportion, are outlying."""

MOST_FILES = 1_000
"""A problem names at most so many files; its detail has the whole count."""

_TRAITS = (
    (Trait.CMYK, "mode", "in CMYK; they are turned into RGB without a colour profile"),
    (Trait.DEEP, "mode", "in grey of 16 bits; it is brought to 8"),
    (Trait.PALETTE, "mode", "with a palette; it is resolved"),
    (Trait.ALPHA, "mode", "with transparency; it is laid on white"),
    (Trait.TURNED, "orientation", "stored turned or mirrored (EXIF); they are set upright"),
    (Trait.ANIMATED, "animated", "animated; the first frame is used"),
)


def audit(
    index: ImageIndex,
    digests: Sequence[str],
    splits: Splits | None = None,
    unreadable: Mapping[int, str] | None = None,
    *,
    seen: Headers | None = None,
) -> tuple[DataIssue, ...]:
    """Look for what spoils training or its evidence, gravest first.

    Args:
        index: The images.
        digests: Of their content.
        splits: The parts in use; None when nothing was parted yet.
        unreadable: Positions that cannot be decoded, with the reason.
        seen: The images' headers where they are at hand; None reads them.

    Returns:
        One problem a kind of finding, naming its files.
    """
    unreadable = unreadable or {}
    usable = np.array([i for i in range(len(index)) if digests[i] and i not in unreadable], dtype=np.int64)
    copies = _copies(digests, usable)
    issues = [
        *unreadable_images(index, digests, unreadable),
        *_contradictions(index, copies),
        *_leaks(index, copies),
        *_duplicates(index, copies),
        *_classes(index, usable, splits),
        *_headers(index, seen or headers(index), usable),
        *_skipped(index),
    ]
    return tuple(issues)


def _issue(kind: str, files: Iterable[str], detail: str) -> DataIssue:
    return DataIssue(kind=kind, files=tuple(files)[:MOST_FILES], detail=detail)


def _names(index: ImageIndex, positions: np.ndarray) -> list[str]:
    return [index.names[int(i)] for i in positions]


def _copies(digests: Sequence[str], usable: np.ndarray) -> list[list[int]]:
    """Positions of every content that is there more than once."""
    places: dict[str, list[int]] = defaultdict(list)
    for i in map(int, usable):
        places[digests[i]].append(i)
    return [group for group in places.values() if len(group) > 1]


def unreadable_images(index: ImageIndex, digests: Sequence[str], unreadable: Mapping[int, str]) -> Iterable[DataIssue]:
    """One problem a reason; arguments as those of `audit`."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for i in range(len(index)):
        if i in unreadable:
            by_reason[unreadable[i].removeprefix(index.names[i]).lstrip(": ")].append(index.names[i])
        elif not digests[i]:
            by_reason["it could not be read"].append(index.names[i])
    for reason, files in by_reason.items():
        yield _issue("unreadable", files, f"{plural(len(files), 'image')} left out: {reason}")


def _contradictions(index: ImageIndex, copies: Sequence[Sequence[int]]) -> Iterable[DataIssue]:
    found = [group for group in copies if len({int(index.labels[i]) for i in group}) > 1]
    if found:
        first = ", ".join(f"{index.names[i]} ({index.classes[index.labels[i]]})" for i in found[0][:2])
        files = [index.names[i] for group in found for i in group]
        yield _issue(
            "contradiction",
            files,
            f"{plural(len(found), 'image is', 'images are')} in several classes, such as {first}",
        )


def _leaks(index: ImageIndex, copies: Sequence[Sequence[int]]) -> Iterable[DataIssue]:
    if index.splits is None:
        return
    sides = index.splits
    found = [group for group in copies if len({sides[i] for i in group}) > 1]
    if found:
        files = [index.names[i] for group in found for i in group]
        yield _issue(
            "leak",
            files,
            f"{plural(len(found), 'image is', 'images are')} in more than one split, which inflates the scores",
        )
    if index.groups is not None:
        where: dict[str, set[str]] = defaultdict(set)
        for group, side in zip(index.groups, sides, strict=True):
            where[group].add(side)
        torn = {group for group, found_in in where.items() if group and len(found_in) > 1}
        if torn:
            files = [index.names[i] for i, group in enumerate(index.groups) if group in torn]
            yield _issue("leak", files, f"{len(torn)} groups lie in more than one split, such as {min(torn)!r}")


def _duplicates(index: ImageIndex, copies: Sequence[Sequence[int]]) -> Iterable[DataIssue]:
    if copies:
        files = [index.names[i] for group in copies for i in group]
        spare = len(files) - len(copies)
        yield _issue(
            "duplicate",
            files,
            f"{plural(spare, 'image')} repeat another byte for byte; a draw keeps copies on one side",
        )


def _classes(index: ImageIndex, usable: np.ndarray, splits: Splits | None) -> Iterable[DataIssue]:
    counts = np.bincount(index.labels[usable], minlength=len(index.classes))
    largest, smallest = int(counts.argmax()), int(counts.argmin())
    if counts[largest] >= IMBALANCE * max(int(counts[smallest]), 1):
        yield _issue(
            "imbalance",
            (),
            f"{index.classes[largest]!r} has {counts[largest]} images, {index.classes[smallest]!r} has "
            f"{counts[smallest]}; balanced accuracy says more than accuracy here",
        )
    small = [f"{name!r} ({n})" for name, n in zip(index.classes, counts, strict=True) if n < SMALL_CLASS]
    if small:
        yield _issue("small_class", (), f"classes with fewer than {SMALL_CLASS} images: {', '.join(small)}")
    if splits is not None:
        for side, part in ((TRAIN, splits.train), (VALIDATION, splits.validation), (TEST, splits.test)):
            there = set(index.labels[part].tolist())
            missing = [repr(name) for label, name in enumerate(index.classes) if label not in there]
            if missing:
                yield _issue("small_class", (), f"the {side} part has no image of {', '.join(missing)}")


def _headers(index: ImageIndex, seen: Headers, usable: np.ndarray) -> Iterable[DataIssue]:
    for trait, kind, words in _TRAITS:
        files = _names(index, usable[(seen.traits[usable] & trait) > 0])
        if files:
            yield _issue(kind, files, f"{plural(len(files), 'image')} {words}")
    usable = usable[seen.width[usable] > 0]
    if not len(usable):
        return
    short = np.minimum(seen.width[usable], seen.height[usable])
    long = np.maximum(seen.width[usable], seen.height[usable])
    usual = float(np.median(short))
    odd = (short * OUTLYING <= usual) | (short >= OUTLYING * usual) | (long >= OUTLYING * short)
    if odd.any():
        files = _names(index, usable[odd])
        there = f"the usual {usual:.0f} px of the shorter side"
        yield _issue(
            "size",
            files,
            f"{plural(len(files), 'image')} far from {there}, or of an unusual shape",
        )


def _skipped(index: ImageIndex) -> Iterable[DataIssue]:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for name, reason in index.skipped.items():
        by_reason[reason].append(name)
    for reason, files in by_reason.items():
        n = plural(len(files), "file is", "files are")
        yield _issue("skipped", files, f"{n} not used: {reason}")
