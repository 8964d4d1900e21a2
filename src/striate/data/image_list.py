"""Images that are given one by one, as an index: a list of paths, bytes, arrays or PIL images; or a flat folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image

from striate.core.errors import DataError
from striate.data.decode import to_pixels
from striate.data.image_index import ImageIndex
from striate.data.layout import is_clutter, is_image, natural
from striate.data.stores import file_stamp
from striate.data.transforms import ImageLike, read_image


@final
class ListStore:
    """Images of a list.

    Args:
        images: Each a path, encoded bytes, a uint8 array or a PIL image.
    """

    def __init__(self, images: Sequence[ImageLike]) -> None:
        self._images = images

    def read(self, i: int) -> bytes | np.ndarray:
        """Encoded bytes or pixels of image `i`."""
        raw = read_image(self._images[i])
        return to_pixels(raw) if isinstance(raw, Image.Image) else raw

    def stamp(self, i: int) -> str:
        """The stamp of a file; an image in memory has none that lasts."""
        image = self._images[i]
        return file_stamp(Path(image)) if isinstance(image, str | Path) else f"{id(image)}:0"


def index_of(images: Sequence[ImageLike]) -> ImageIndex:
    """An index of single images without labels.

    Args:
        images: Each a path, encoded bytes, a uint8 array or a PIL image.

    Raises:
        DataError: There is none.
    """
    if not len(images):
        raise DataError("there is no image")
    names = [str(each) if isinstance(each, str | Path) else f"image {place}" for place, each in enumerate(images)]
    return ImageIndex(
        source="a list of images",
        kind="list",
        classes=("",),
        labels=np.zeros(len(images), dtype=np.int64),
        names=names,
        store=ListStore(images),
    )


def flat_folder(path: Path) -> list[Path]:
    """The image files directly in a folder that has no folder in it; none if it has one, as class folders."""
    inside = [each for each in path.iterdir() if not is_clutter(each.name)] if path.is_dir() else []
    if any(each.is_dir() for each in inside):
        return []
    return sorted((each for each in inside if is_image(each.name)), key=lambda each: natural(each.name))
