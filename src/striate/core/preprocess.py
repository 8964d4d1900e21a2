"""Preprocessing of images for a network. Every set of weights has its own and is stored with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Interpolation = Literal["nearest", "bilinear", "bicubic", "box", "lanczos"]
Fit = Literal["crop", "stretch"]
ChannelOrder = Literal["rgb", "bgr", "grey"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MAX_SIDE_PX = 4096
MIN_STD = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """How a decoded image becomes the input of a network.

    The image is resized to `size`, its 8-bit values are scaled to `value_range`, and each channel is normalised to
    ``(value - mean) / std``.

    Args:
        size: Height and width of the network's input, in pixels.
        resize: Length of the shorter side after resizing and before the centre crop, in pixels. None means the larger
            side of `size`. Only ``fit="crop"`` uses it.
        fit: ``"crop"`` keeps the aspect ratio and takes the centre crop; ``"stretch"`` resizes both sides to `size`.
        interpolation: The resampling filter. All filters except ``"nearest"`` are antialiased when an image shrinks.
        mean: Mean of each channel, in units of `value_range`.
        std: Standard deviation of each channel, in units of `value_range`, above 0.
        channels: Channel order of the input; ``"grey"`` is a single luma channel (ITU-R BT.601).
        value_range: The values that 0 and 255 are scaled to before normalisation.

    Raises:
        ValueError: A value is out of range, or `mean` or `std` has the wrong number of channels.
    """

    size: tuple[int, int]
    resize: int | None = None
    fit: Fit = "crop"
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    channels: ChannelOrder = "rgb"
    value_range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if len(self.size) != 2 or not 1 <= min(self.size) <= max(self.size) <= MAX_SIDE_PX:
            raise ValueError(f"size must be height and width, from 1 to {MAX_SIDE_PX:,}; got {self.size}")
        if self.resize is not None and self.resize > 2 * MAX_SIDE_PX:
            raise ValueError(f"resize must be at most {2 * MAX_SIDE_PX:,}; got {self.resize}")
        if self.resize is not None and self.resize < max(self.size) and self.fit == "crop":
            raise ValueError(f"resize must be at least {max(self.size)}, the larger side of size; got {self.resize}")
        if len(self.mean) != self.in_channels or len(self.std) != self.in_channels:
            raise ValueError(f"mean and std need {self.in_channels} values each; got {self.mean} and {self.std}")
        if not all(_finite(each) for each in (*self.mean, *self.std, *self.value_range)):
            raise ValueError(
                f"mean, std and value_range must be finite; got {self.mean}, {self.std} and {self.value_range}"
            )
        if min(self.std) < MIN_STD * max(1.0, *map(abs, self.value_range)):
            raise ValueError(f"std must be above 0, at least {MIN_STD:g} of the largest value; got {self.std}")
        if not self.value_range[0] < self.value_range[1]:
            raise ValueError(f"value_range must rise; got {self.value_range}")

    @property
    def in_channels(self) -> int:
        """Number of channels of the network's input."""
        return 1 if self.channels == "grey" else 3

    @property
    def shorter_side(self) -> int:
        """Length of the shorter side before the centre crop, in pixels."""
        return self.resize if self.resize is not None else max(self.size)

    def affine(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Scale and offset of each channel: ``input = byte * scale + offset``.

        Returns:
            The scales and the offsets, in the channel order of the input.
        """
        low, high = self.value_range
        scale = tuple((high - low) / 255.0 / s for s in self.std)
        offset = tuple((low - m) / s for m, s in zip(self.mean, self.std, strict=True))
        return scale, offset


def _finite(value: object) -> bool:
    """Whether it is a finite number; JSON has null where a number was NaN or infinite."""
    return isinstance(value, int | float) and math.isfinite(value)
