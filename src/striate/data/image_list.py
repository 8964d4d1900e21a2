"""Images without labels: a list of paths, bytes, arrays or PIL images, or a folder without class folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image

from striate.core.errors import DataError
from striate.data.decode import to_pixels
from striate.data.layout import is_clutter, is_image, natural
from striate.data.transforms import ImageLike, read_image


@final
class ImageList:
    """Single images, which can be read by number.

    Args:
        images: Each a path, encoded bytes, a uint8 array or a PIL image.

    Raises:
        DataError: There is none.
    """

    def __init__(self, images: Sequence[ImageLike]) -> None:
        if not len(images):
            raise DataError("there is no image")
        self._images = images

    @property
    def names(self) -> list[str]:
        """The path of each file, and ``image N`` for an image in memory, counting from 0."""
        paths = [each if isinstance(each, str | Path) else None for each in self._images]
        return [f"image {place}" if path is None else str(path) for place, path in enumerate(paths)]

    def read(self, i: int) -> bytes | np.ndarray:
        """Encoded bytes or pixels of image `i`.

        Raises:
            ImageError: It cannot be read.
        """
        raw = read_image(self._images[i])
        return to_pixels(raw) if isinstance(raw, Image.Image) else raw


def flat_folder(path: Path) -> list[Path]:
    """The image files directly in a folder that has no folder in it; none if it has one, as class folders.

    Raises:
        DataError: The folder cannot be read.
    """
    if not path.is_dir():
        return []
    try:
        inside = [each for each in path.iterdir() if not is_clutter(each.name)]
    except OSError as error:
        raise DataError(
            f"the folder {path} cannot be read: {error.strerror or error}", hint="change its permissions"
        ) from error
    if any(each.is_dir() for each in inside):
        return []
    return sorted((each for each in inside if is_image(each.name)), key=lambda each: natural(each.name))
