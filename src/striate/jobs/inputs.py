"""The images that a prediction was asked for: files, and those in folders, archives and patterns."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import final, overload

import numpy as np

from striate.core.errors import DataError
from striate.data import archive, folder
from striate.data.layout import Listing, is_archive, is_clutter, is_image, natural


@final
class Inputs(Sequence[str | bytes | np.ndarray]):
    """Images by number: the path of each file, and the bytes of each member of an archive, read when they are needed.

    Args:
        asked: Files, folders (with the images below them), tar and zip archives, and patterns such as ``new/*.jpg``. A
            file that does not exist counts as an image, which cannot be read.

    Raises:
        DataError: There is no image in a folder or an archive, or none has a name of a pattern; an archive is damaged;
            or a path is empty or an address of the web.
    """

    def __init__(self, asked: Sequence[str]) -> None:
        found = [each for text in asked for each in _found(text)]
        self.names = tuple(name for name, _ in found)
        self._reads = [read for _, read in found]

    def __len__(self) -> int:
        return len(self._reads)

    @overload
    def __getitem__(self, i: int) -> str | bytes | np.ndarray: ...

    @overload
    def __getitem__(self, i: slice) -> Sequence[str | bytes | np.ndarray]: ...

    def __getitem__(self, i: int | slice) -> str | bytes | np.ndarray | Sequence[str | bytes | np.ndarray]:
        """An image, as `data.transforms.read_image` takes it.

        Raises:
            ImageError: A member of an archive cannot be read.
        """
        return [read() for read in self._reads[i]] if isinstance(i, slice) else self._reads[i]()


def _found(text: str) -> Iterator[tuple[str, Callable[[], str | bytes | np.ndarray]]]:
    """The name of each image that a word of the command line means, and how it is read."""
    if not text:  # Path("") is the current folder
        raise DataError("an image's path is empty", hint="name a file or a folder; the current folder is '.'")
    path = Path(text).expanduser()
    if "://" in text and not path.exists():
        raise DataError(f"{text} is an address, not a file", hint="download the image and give its path")
    if path.is_dir():
        yield from _listed(text, folder.listing(path))
    elif path.is_file() and is_archive(path.name):
        yield from _listed(text, archive.listing(path))
    elif glob.has_magic(text) and not path.exists():
        matches = glob.glob(str(path), recursive=True)  # noqa: PTH207 - the pattern may be absolute
        names = [name for name in sorted(matches, key=natural) if not Path(name).is_dir()]
        if not names:
            raise DataError(f"no file matches {text!r}", hint="check the pattern: ** stands for any folders")
        yield from ((name, lambda name=name: name) for name in names)
    else:
        yield text, lambda: str(path)


def _listed(text: str, listing: Listing) -> Iterator[tuple[str, Callable[[], str | bytes | np.ndarray]]]:
    rows = [i for i, name in enumerate(listing.files) if is_image(name) and not any(map(is_clutter, name.split("/")))]
    if not rows:
        raise DataError(f"{text} has no image", hint="give image files, or a folder or an archive with images in it")
    rows.sort(key=lambda i: natural(listing.files[i]))
    store = listing.choose(rows)
    for place, row in enumerate(rows):
        yield f"{text.rstrip('/')}/{listing.files[row]}", lambda place=place: store.read(place)
