"""Issues of the images of a data set: files, duplicates, leaks, modes and sizes.

Issues of the targets, such as class imbalance, come from the task.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from striate.core.words import plural
from striate.data.headers import Headers, Trait, headers, narrow
from striate.data.image_index import LABEL, ImageIndex
from striate.data.labels import listed
from striate.records.results import DataIssue

OUTLYING = 8
"""An image is an outlier if its shorter side is this many times smaller or larger than the median, or its sides differ
by this factor."""

MAX_FILES = 1_000
"""An issue names at most this many files; its detail has the total."""

_SHOWN = 3
_IS = "the file is "

_TRAITS = (
    (Trait.CMYK, "mode", "in CMYK; converted to RGB without a colour profile"),
    (Trait.DEEP, "mode", "of more than 8 bits per channel; converted to 8 bits"),
    (Trait.PALETTE, "mode", "with a palette; converted to RGB"),
    (Trait.ALPHA, "mode", "with transparency; composited on white"),
    (Trait.TURNED, "orientation", "stored rotated or mirrored; the EXIF orientation is applied"),
    (Trait.ANIMATED, "animated", "animated; the first frame is used"),
    (Trait.PAGES, "pages", "of several pages; the first page is used"),
    (Trait.METADATA, "metadata", "whose metadata is damaged or too long; read without it"),
)


def audit(
    index: ImageIndex,
    digests: Sequence[str],
    unreadable: Mapping[int, str] | None = None,
    *,
    column: str = LABEL,
    of_targets: Iterable[DataIssue] = (),
    seen: Headers | None = None,
) -> tuple[DataIssue, ...]:
    """Find what harms training or evaluation, the most serious issues first.

    Args:
        index: The images.
        digests: Of their content.
        unreadable: Positions that cannot be decoded, with the reason.
        column: The annotation in which duplicates of an image must agree.
        of_targets: Issues that the task found in the targets; they stand among the others.
        seen: The headers of the images if they were read before; None reads them.

    Returns:
        One issue per finding, naming its files.
    """
    unreadable = unreadable or {}
    usable = usable_images(digests, unreadable)
    copies = _copies(digests, usable)
    issues = [
        *unreadable_images(index, unreadable, digests),
        *_contradictions(index, copies, column),
        *_leaks(index, copies),
        *_duplicates(index, copies),
        *of_targets,
        *_headers(index, seen or headers(index), usable),
        *skipped_files(index),
    ]
    return tuple(issues)


def usable_images(digests: Sequence[str], unreadable: Collection[int]) -> np.ndarray:
    """Positions of the images that can be read and decoded, int64."""
    return np.array([i for i in range(len(digests)) if digests[i] and i not in unreadable], dtype=np.int64)


def _issue(kind: str, files: Iterable[str], detail: str) -> DataIssue:
    return DataIssue(kind=kind, files=tuple(files)[:MAX_FILES], detail=detail)


def _names(index: ImageIndex, positions: np.ndarray) -> list[str]:
    return [index.names[int(i)] for i in positions]


def _copies(digests: Sequence[str], usable: np.ndarray) -> list[list[int]]:
    """The positions of each content that occurs more than once."""
    places: dict[str, list[int]] = defaultdict(list)
    for i in map(int, usable):
        places[digests[i]].append(i)
    return [group for group in places.values() if len(group) > 1]


def unreadable_images(
    index: ImageIndex, unreadable: Mapping[int, str], digests: Sequence[str] = ()
) -> Iterable[DataIssue]:
    """One issue per reason; the arguments are those of `audit`."""
    reasons = {i: "it could not be read" for i, digest in enumerate(digests) if not digest} | dict(unreadable)
    by_reason: dict[str, list[int]] = defaultdict(list)
    for i in sorted(reasons):
        by_reason[reasons[i].removeprefix(index.names[i]).lstrip(": ")].append(i)
    totals = Counter(index.annotations.get(LABEL, ())) if by_reason else Counter()
    for reason, positions in by_reason.items():
        files = [index.names[i] for i in positions]
        yield _issue("unreadable", files, _left_out(index, positions, totals, reason))


def notes_of(issues: Iterable[DataIssue], *, shown: int = 5) -> list[str]:
    """A sentence per issue for people who follow a job, with the first `shown` of its files."""
    return [f"{issue.detail}: {listed(issue.files, shown)}" for issue in issues]


def _left_out(index: ImageIndex, positions: Sequence[int], totals: Mapping[str, int], reason: str) -> str:
    """How many images were left out, of which classes, and why."""
    labels = index.annotations.get(LABEL)
    count = plural(len(positions), "image")
    if labels is None:
        return f"{count} left out: {reason}"
    found = Counter(labels[i] for i in positions).most_common()
    classes = ", ".join(f"{n} of {totals[name]} {name!r}" for name, n in found[:_SHOWN])
    if len(found) > _SHOWN:
        classes += f" and {sum(n for _, n in found[_SHOWN:])} of other classes"
    what = reason.removeprefix(_IS)
    if what == reason:
        return f"{count} left out ({classes}): {reason}"
    return f"{count} left out: {classes} {'is' if len(positions) == 1 else 'are'} {what}"


def _contradictions(index: ImageIndex, copies: Sequence[Sequence[int]], column: str) -> Iterable[DataIssue]:
    told = index.annotation(column)
    found = [group for group in copies if len({told[i] for i in group}) > 1]
    if found:
        first = ", ".join(f"{index.names[i]} ({told[i]})" for i in found[0][:2])
        files = [index.names[i] for group in found for i in group]
        yield _issue(
            "contradiction",
            files,
            f"{plural(len(found), 'image has', 'images have')} several labels, for example {first}",
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
            yield _issue(
                "leak",
                files,
                f"{plural(len(torn), 'group is', 'groups are')} in more than one split, for example {min(torn)!r}",
            )


def _duplicates(index: ImageIndex, copies: Sequence[Sequence[int]]) -> Iterable[DataIssue]:
    if copies:
        files = [index.names[i] for group in copies for i in group]
        spare = len(files) - len(copies)
        yield _issue(
            "duplicate",
            files,
            f"{plural(spare, 'exact duplicate')}; a random split keeps them in the same set, but not near copies",
        )


def _headers(index: ImageIndex, seen: Headers, usable: np.ndarray) -> Iterable[DataIssue]:
    for trait, kind, words in _TRAITS:
        files = _names(index, usable[(seen.traits[usable] & trait) > 0])
        if files:
            yield _issue(kind, files, f"{plural(len(files), 'image')} {words}")
    dark = narrow(index, usable[(seen.traits[usable] & Trait.DEEP) > 0])
    if dark.common:
        yield _issue("levels", _names(index, np.array(dark.positions)), str(dark))
    usable = usable[seen.width[usable] > 0]
    if not len(usable):
        return
    short = np.minimum(seen.width[usable], seen.height[usable])
    long = np.maximum(seen.width[usable], seen.height[usable])
    usual = float(np.median(short))
    odd = (short * OUTLYING <= usual) | (short >= OUTLYING * usual) | (long >= OUTLYING * short)
    if odd.any():
        files = _names(index, usable[odd])
        there = f"the median shorter side of {usual:.0f} px"
        yield _issue("size", files, f"{plural(len(files), 'image')} far from {there}, or with an unusual aspect ratio")


def skipped_files(index: ImageIndex) -> Iterable[DataIssue]:
    """One issue per reason why files are not used."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for name, reason in index.skipped.items():
        by_reason[reason].append(name)
    for reason, files in by_reason.items():
        n = plural(len(files), "file is", "files are")
        yield _issue("skipped", files, f"{n} not used: {reason}")
