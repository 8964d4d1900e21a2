"""One image in any form to the tensor that a network takes: a callable for any DataLoader."""

from __future__ import annotations

from pathlib import Path
from typing import final

import numpy as np
from PIL import Image
from torch import Tensor, from_numpy

from striate.core.errors import ImageError, ImageReadError
from striate.core.preprocess import Preprocess
from striate.data.arrays import to_uint8
from striate.data.decode import decode
from striate.data.opened import RawImage
from striate.data.stores import read_file
from striate.nn.input import InputNormalization

ImageLike = str | Path | bytes | np.ndarray | Tensor | Image.Image
"""The path of a file, encoded bytes, an array or a tensor as `data.arrays.to_uint8` takes it, or a PIL image."""


@final
class ImageTransform:
    """Decode, resize, crop and normalise one image as a network's weights need it.

    The result is bit-identical to what `striate` computes when it trains and predicts. The object can be
    pickled, so it works in the workers of a DataLoader.

    Args:
        preprocess: The preprocessing that the weights need.

    Example:
        >>> from striate import weights
        >>> transform = weights.get("resnet20_cifar:cifar10").transforms()
        >>> transform(np.zeros((48, 64, 3), dtype=np.uint8)).shape
        torch.Size([3, 32, 32])
    """

    def __init__(self, preprocess: Preprocess) -> None:
        self.preprocess = preprocess
        self._normalize = InputNormalization(preprocess)

    def __call__(self, image: ImageLike) -> Tensor:
        """One image as a network's input.

        Args:
            image: A path, encoded bytes, an array ``[h, w]``, ``[h, w, 1]`` or ``[h, w, 3]``, a tensor ``[c, h, w]``
                (uint8, or floating-point values from 0 to 1), or a PIL image. A PIL image is decoded in full before it
                is resized; a large JPEG given as a path or as bytes is decoded at a reduced size, which changes values
                by less than 1 of 255 on average.

        Returns:
            float32 ``[channels, height, width]``.

        Raises:
            ImageError: The image cannot be read.
        """
        pixels = from_numpy(decode(read_image(image), self.preprocess))
        return self._normalize(pixels[None])[0].contiguous()

    def __repr__(self) -> str:
        return f"ImageTransform({self.preprocess})"


def read_image(image: ImageLike) -> RawImage:
    """What `decode` takes: the bytes of a path, uint8 pixels, and a PIL image unchanged.

    Args:
        image: A path, encoded bytes, an array or a tensor as `data.arrays.to_uint8` takes it, or a PIL image.

    Raises:
        ImageError: The file cannot be read, or the array does not have the shape or type of an image.
    """
    if isinstance(image, bytes | Image.Image):
        return image
    if isinstance(image, np.ndarray | Tensor):
        return to_uint8(image)
    try:
        path = Path(image)
    except TypeError as error:
        raise ImageError(
            f"a {type(image).__name__} is not an image", hint="give a path, bytes, an array, a tensor or a PIL image"
        ) from error
    try:
        return read_file(path, str(path))
    except ImageReadError as error:
        raise ImageReadError(error.message, hint="give the path of an image file") from error
