"""Which folder names and cells of a ``split`` column mean a split: ``train_set``, ``Test-Images``, ``val2017``.

Names are compared without case, separators, numbers, and words that say nothing about a split, such as "set".
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

TRAIN, VALIDATION, TEST, UNLABELLED = "train", "validation", "test", "unlabelled"


def _words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SPLITS = {
    TRAIN: "train training trn trainval learn learning",
    VALIDATION: "val valid validate validation vld dev devel development eval evaluate evaluation",
    TEST: "test testing tst holdout heldout",
    UNLABELLED: "unlabelled unlabeled pred predict prediction predictions",
}
_ROLES = {word: role for role, words in _SPLITS.items() for word in words.split()}
_CONTAINERS = _words_of("image images img imgs data dataset datasets set sets seg")
_MODIFIERS = _words_of(
    "public private official final new old full small mini sample samples resized cropped augmented labelled labeled"
    " split splits part fold stage phase round folder dir file files photo photos classification cls copy of my the"
    " backup rgb jpg jpeg png tif tiff webp px"
)
_ANNOTATIONS = _words_of(
    "label labels mask masks annotation annotations annot annots ann anns bbox bboxes boxes groundtruth gt xml xmls"
    " json txt"
)
# The longest first, so that "datasets" is not read as "data" and "sets".
_GLUED = sorted(_CONTAINERS | {"split", "folder"}, key=len, reverse=True)
_TOKEN = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@functools.lru_cache(maxsize=1 << 16)
def role(name: str) -> str | None:
    """The split that a name means: ``train``, ``validation``, ``test`` or ``unlabelled``; None for another name.

    Example:
        >>> [role(name) for name in ("train set", "seg_test", "val2017", "devset", "rose", "train_station")]
        ['train', 'test', 'validation', 'validation', None, None]
    """
    return _ROLES.get("".join(word for word in _words(name) if word not in _MODIFIERS and not _is_letter(word)))


def roles(names: Iterable[str]) -> dict[str, str]:
    """The split that each of several folders means; folders that mean none are left out.

    Beside those of `role`, names that differ in the split only are splits: ``flowers_train`` and ``flowers_test``.

    Example:
        >>> roles(["flowers_train", "flowers_test", "train_station", "val"])
        {'flowers_train': 'train', 'flowers_test': 'test', 'val': 'validation'}
    """
    names = list(names)
    found = {name: meant for name in names if (meant := role(name))}
    stems: dict[str, dict[str, str]] = defaultdict(dict)
    for name in (each for each in names if each not in found):
        words = _words(name)
        meant = [word for word in words if word in _ROLES]
        if len(meant) == 1:
            stems["".join(word for word in words if word not in _ROLES)][name] = _ROLES[meant[0]]
    alike = {name: meant for stem in stems.values() if len(set(stem.values())) > 1 for name, meant in stem.items()}
    return {name: each for name in names if (each := found.get(name) or alike.get(name))}


def is_container(name: str) -> bool:
    """Whether a name only says that there is data inside, such as ``images`` or ``data_set``."""
    return bool(_TOKEN.search(name)) and not _words(name)


def is_annotation(name: str) -> bool:
    """Whether a name says that there are annotations inside, such as ``labels`` or ``masks``."""
    words = [word for word in _words(name) if word not in _ROLES]
    return "".join(words) in _ANNOTATIONS


def _words(name: str) -> list[str]:
    """The words of a name in lower case, without numbers and containers."""
    found: list[str] = []
    for word in _TOKEN.findall(_CAMEL.sub(" ", unicodedata.normalize("NFKC", name))):
        left = _unglued(word.casefold())
        if left and left not in _CONTAINERS:
            found.append(left)
    return found


def _is_letter(word: str) -> bool:
    return len(word) == 1 and word.isascii()


def _unglued(word: str) -> str:
    """``trainset`` and ``imagestrain`` as ``train``; a word that is no split stays whole."""
    for glued in _GLUED:
        for left in (word.removesuffix(glued), word.removeprefix(glued)):
            if left != word and (left in _ROLES or _unglued(left) in _ROLES):
                return left if left in _ROLES else _unglued(left)
    return word
