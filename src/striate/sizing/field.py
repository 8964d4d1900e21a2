"""Receptive fields: which pixels of the image each position of a feature map depends on, and the output stride.

Along one side, the receptive field of position ``i`` is the range of pixels from ``left + i * stride`` to
``right + i * stride``. A sliding window widens the range, and where branches join, the result is the union of their
ranges. Pixels outside of the image (padding) count. A transposed convolution makes several positions from one, and
their ranges differ: they repeat with a period of several positions, and each position of a period has its own range.

Source:
    Araujo, Norris, Sim 2019, Computing Receptive Fields of Convolutional Neural Networks (Distill), extended to
    different padding on the two sides and to upsampling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Axis:
    """Receptive fields along one side of a feature map.

    The receptive field of position ``q * period + r`` is the range from ``lefts[r] + q * advance`` to
    ``rights[r] + q * advance``.

    Args:
        lefts: First pixel of each position of the first period; a pixel below 0 is in the padding.
        rights: Last pixel of each position of the first period.
        advance: Pixels from one period to the next.
        count: Number of positions.
    """

    lefts: tuple[int, ...]
    rights: tuple[int, ...]
    advance: int
    count: int

    @classmethod
    def of_pixels(cls, count: int) -> Axis:
        """A side of the image: the receptive field of a pixel is the pixel itself."""
        return cls((0,), (0,), 1, count)

    @property
    def period(self) -> int:
        """Number of positions after which the receptive fields repeat."""
        return len(self.lefts)

    @property
    def size(self) -> int:
        """Length of the receptive field in pixels; the largest one if positions differ."""
        return max(right - left + 1 for left, right in zip(self.lefts, self.rights, strict=True))

    @property
    def stride(self) -> int | None:
        """Pixels from one position to the next, on average; None if this is not an integer."""
        return None if self.advance % self.period else self.advance // self.period

    def left(self, position: int) -> int:
        """First pixel of the receptive field of a position. Positions outside of the map are padding."""
        periods, offset = divmod(position, self.period)
        return self.lefts[offset] + periods * self.advance

    def right(self, position: int) -> int:
        """Last pixel of the receptive field of a position."""
        periods, offset = divmod(position, self.period)
        return self.rights[offset] + periods * self.advance

    def window(self, kernel: int, *, stride: int = 1, before: int = 0, dilation: int = 1, count: int) -> Axis:
        """The side of the output of a convolution or a pooling layer.

        Args:
            kernel: Number of elements of the window.
            stride: Stride of the window, in positions.
            before: Padding before position 0, in positions.
            dilation: Positions from one element of the window to the next.
            count: Number of output positions.
        """

        def read(position: int) -> range:
            first = position * stride - before
            return range(first, first + dilation * (kernel - 1) + 1, dilation)

        period = self.period // math.gcd(self.period, stride)
        return self._with_reads(read, period, period * stride * self.advance // self.period, count)

    def transposed(self, kernel: int, *, stride: int, before: int = 0, dilation: int = 1, count: int) -> Axis | None:
        """The side of the output of a transposed convolution.

        Args:
            kernel: Number of elements of the window.
            stride: Output positions from the first element of one window to that of the next.
            before: Output positions removed before position 0 (the padding of the layer).
            dilation: Output positions from one element of the window to the next.
            count: Number of output positions.

        Returns:
            The side; None if some output positions depend on no input.
        """

        def read(position: int) -> list[int]:
            offsets = (position + before - dilation * element for element in range(kernel))
            return sorted(offset // stride for offset in offsets if offset % stride == 0)

        if not all(read(position) for position in range(stride)):
            return None
        return self._with_reads(read, self.period * stride, self.advance, count)

    def merged(self) -> Axis:
        """A single position whose receptive field is the union of all."""
        return self._with_reads(lambda _position: range(self.count), 1, self.count * self.advance // self.period, 1)

    def _with_reads(self, read: Callable[[int], Sequence[int]], period: int, advance: int, count: int) -> Axis:
        """A side whose position p reads the positions ``read(p)``, which ascend in equal steps."""
        lefts, rights = [], []
        for position in range(period):
            positions = read(position)  # ranges shift by a constant every period, so the two ends are enough
            lefts.append(min(self.left(each) for each in positions[: self.period]))
            rights.append(max(self.right(each) for each in positions[-self.period :]))
        return Axis(tuple(lefts), tuple(rights), advance, count)._reduced()

    def _reduced(self) -> Axis:
        """The same side with the smallest possible period."""
        for period in range(1, self.period):
            if self.period % period or self.advance * period % self.period:
                continue
            axis = Axis(self.lefts[:period], self.rights[:period], self.advance * period // self.period, self.count)
            positions = range(self.period)
            if all(axis.left(p) == self.lefts[p] and axis.right(p) == self.rights[p] for p in positions):
                return axis
        return self


@dataclass(frozen=True, slots=True)
class Field:
    """Receptive fields of the positions of a feature map.

    Args:
        h: Along the height.
        w: Along the width.
    """

    h: Axis
    w: Axis

    @classmethod
    def of_image(cls, height: int, width: int) -> Field:
        """The image itself: the receptive field of a pixel is the pixel."""
        return cls(Axis.of_pixels(height), Axis.of_pixels(width))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the receptive field, in pixels."""
        return (self.h.size, self.w.size)

    @property
    def stride(self) -> tuple[int, int] | None:
        """Output stride in pixels, vertically and horizontally; None if one of them is not an integer."""
        down, across = self.h.stride, self.w.stride
        return None if down is None or across is None else (down, across)

    @property
    def padding(self) -> tuple[int, int]:
        """Pixels of position 0 above and left of the image; below 0 if its receptive field starts inside."""
        return (-self.h.left(0), -self.w.left(0))

    @property
    def counts(self) -> tuple[int, int]:
        """Number of positions, vertically and horizontally."""
        return (self.h.count, self.w.count)

    def merged(self) -> Field:
        """A single position whose receptive field is the union of all."""
        return Field(self.h.merged(), self.w.merged())


def union(fields: Iterable[Field]) -> Field | None:
    """Receptive field of a feature map that is computed position by position from several maps.

    Args:
        fields: Receptive fields of the maps that are added, multiplied or concatenated.

    Returns:
        The union of the receptive fields. Maps of a single position that are broadcast to larger maps (the gate of
        squeeze-and-excitation) are ignored. None if the output strides of the maps differ.
    """
    known = list(fields)
    largest = max(field.counts for field in known)
    aligned = [field for field in known if field.counts == largest]
    down, across = _union([field.h for field in aligned]), _union([field.w for field in aligned])
    return None if down is None or across is None else Field(down, across)


def _union(axes: list[Axis]) -> Axis | None:
    first = axes[0]
    if any(axis.advance * first.period != first.advance * axis.period for axis in axes):
        return None
    period = math.lcm(*(axis.period for axis in axes))
    lefts = tuple(min(axis.left(position) for axis in axes) for position in range(period))
    rights = tuple(max(axis.right(position) for axis in axes) for position in range(period))
    return Axis(lefts, rights, first.advance * period // first.period, first.count)._reduced()
