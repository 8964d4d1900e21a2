"""What must be done to an image before a network sees it. It belongs to the weights and travels with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Interpolation = Literal["nearest", "bilinear", "bicubic", "box", "lanczos"]
Fit = Literal["crop", "stretch"]
ChannelOrder = Literal["rgb", "bgr", "grey"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """From a decoded image to a network's input.

    The image's sides are brought to `size` (in pixels), its 8-bit values to `value_range`, and then
    each channel becomes ``(value - mean) / std``.

    Args:
        size: Height and width of the network's input, in pixels.
        resize: With ``fit="crop"``, the length that the shorter side is brought to before the centre crop, in pixels.
            None means the larger of `size`. Ignored by ``fit="stretch"``.
        fit: ``"crop"`` keeps proportions and cuts the centre out; ``"stretch"`` resizes both sides to `size`.
        interpolation: The filter of the resize. All but ``"nearest"`` are antialiased when an image shrinks.
        mean: One number a channel, in units of `value_range`.
        std: One number a channel, in units of `value_range`.
        channels: Order of the channels that the network takes; ``"grey"`` means one channel of luma (ITU-R 601).
        value_range: What the 8-bit values 0 and 255 become before mean and std.
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
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"size is height and width, both at least 1; got {self.size}")
        if self.resize is not None and self.resize < max(self.size) and self.fit == "crop":
            raise ValueError(f"resize {self.resize} px is below the crop {self.size}; a crop cannot leave the image")
        if len(self.mean) != self.in_channels or len(self.std) != self.in_channels:
            raise ValueError(f"{self.channels} takes {self.in_channels} means and stds; got {self.mean}, {self.std}")
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0; got {self.std}")

    @property
    def in_channels(self) -> int:
        """Channels of the network's input."""
        return 1 if self.channels == "grey" else 3

    @property
    def shorter_side(self) -> int:
        """What the shorter side is brought to before the centre crop, in pixels."""
        return self.resize if self.resize is not None else max(self.size)

    def affine(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Scale and offset, one a channel, so that ``input = byte * scale + offset``.

        Returns:
            Scales and offsets, in the network's channel order.
        """
        low, high = self.value_range
        scale = tuple((high - low) / 255.0 / s for s in self.std)
        offset = tuple((low - m) / s for m, s in zip(self.mean, self.std, strict=True))
        return scale, offset
