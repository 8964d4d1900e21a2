"""An image in memory, as an array or a tensor, as the uint8 pixels that `decode` takes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from striate.core.errors import ImageError

HINT = (
    "give uint8 values from 0 to 255 or floating-point values from 0 to 1, as an array [height, width], "
    "[height, width, 1] or [height, width, 3], or as a tensor [channels, height, width]"
)
_CHANNELS = (1, 3, 4)


def to_uint8(image: np.ndarray | Tensor) -> np.ndarray:
    """The pixels of an image, without a change if they are uint8 already.

    Args:
        image: A uint8 array ``[h, w]``, ``[h, w, 1]``, ``[h, w, 3]`` or ``[h, w, 4]``; or floating-point values from 0
            to 1 in the same shapes, which are scaled by 255 and rounded. A tensor may also be ``[c, h, w]``, as
            torchvision's transforms give it; if both readings are possible, the first axis holds the channels.

    Returns:
        uint8 ``[h, w]``, ``[h, w, 3]`` or ``[h, w, 4]``.

    Raises:
        ImageError: It does not have the shape, type or values of an image.
    """
    pixels = _channels_last(image) if isinstance(image, Tensor) else image
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if not pixels.size or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in _CHANNELS)):
        raise _refused(image)
    if pixels.dtype == np.uint8:
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise _refused(image)
    low, high = float(pixels.min()), float(pixels.max())
    if not 0 <= low <= high <= 1:  # NaN fails too
        raise ImageError(
            f"an image has floating-point values from {low:.4g} to {high:.4g}, and they must be from 0 to 1",
            hint="divide values up to 255 by 255; give the image as it was before mean and deviation were applied",
        )
    return np.rint(pixels * 255).astype(np.uint8)


def _channels_last(image: Tensor) -> np.ndarray:
    found = image.detach().cpu()
    if found.dtype in (torch.bfloat16, torch.float16):
        found = found.float()
    if found.ndim == 3 and found.shape[0] in _CHANNELS:
        found = found.permute(1, 2, 0)
    return np.ascontiguousarray(found.numpy())


def _refused(image: np.ndarray | Tensor) -> ImageError:
    kind = "a tensor" if isinstance(image, Tensor) else "an array"
    dtype = str(image.dtype).removeprefix("torch.")
    return ImageError(f"{kind} of {dtype} {list(image.shape)} is not an image", hint=HINT)
