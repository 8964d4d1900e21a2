"""What one position of a map sees of the image, and how far the next position looks on.

Along one side, position ``i`` of most maps sees the pixels from ``left + i * stride`` to ``right + i * stride``. A
window that slides over a map widens that range, and where branches meet their ranges unite. Pixels beyond the image
(padding) count as seen. A transposed convolution gives several positions where there was one, and these do not all see
alike: what repeats is then a period of positions, and every position of it has a range of its own.

Source:
    Araujo, Norris, Sim 2019, Computing Receptive Fields of Convolutional Neural Networks (Distill), with padding on
    both sides told apart, and upsampling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Axis:
    """One side of a map.

    Position ``q * period + r`` sees the pixels from ``lefts[r] + q * advance`` to ``rights[r] + q * advance``.

    Args:
        lefts: First pixel seen by each position of the first period; below 0 where it lies in the padding.
        rights: Last pixel seen by each of them.
        advance: Pixels from one period to the next.
        count: Positions.
    """

    lefts: tuple[int, ...]
    rights: tuple[int, ...]
    advance: int
    count: int

    @classmethod
    def of_pixels(cls, count: int) -> Axis:
        """A side of the image: every pixel sees itself."""
        return cls((0,), (0,), 1, count)

    @property
    def period(self) -> int:
        """Positions after which what they see repeats."""
        return len(self.lefts)

    @property
    def size(self) -> int:
        """Pixels that one position sees, from the first to the last; of several kinds of position, the most."""
        return max(right - left + 1 for left, right in zip(self.lefts, self.rights, strict=True))

    @property
    def stride(self) -> int | None:
        """Pixels from one position to the next on average; None where that is no whole number."""
        return None if self.advance % self.period else self.advance // self.period

    def left(self, position: int) -> int:
        """First pixel that a position sees; positions beyond the map's ends are padding."""
        periods, place = divmod(position, self.period)
        return self.lefts[place] + periods * self.advance

    def right(self, position: int) -> int:
        """Last pixel that a position sees."""
        periods, place = divmod(position, self.period)
        return self.rights[place] + periods * self.advance

    def window(self, kernel: int, *, stride: int = 1, before: int = 0, dilation: int = 1, count: int) -> Axis:
        """The side after a window slid over it.

        Args:
            kernel: Elements of the window.
            stride: Its step, in positions.
            before: Padding before position 0, in positions.
            dilation: Positions from one element of the window to the next.
            count: Places it took.
        """

        def read(place: int) -> range:
            first = place * stride - before
            return range(first, first + dilation * (kernel - 1) + 1, dilation)

        period = self.period // math.gcd(self.period, stride)
        return self._made(read, period, period * stride * self.advance // self.period, count)

    def spread(self, kernel: int, *, stride: int, before: int = 0, dilation: int = 1, count: int) -> Axis | None:
        """The side after a transposed window: every position adds to `kernel` places, `stride` on from the last one's.

        Args:
            kernel: Elements of the window.
            stride: Places from one position's first to the next one's.
            before: Places cut off before place 0.
            dilation: Places from one element of the window to the next.
            count: Places.

        Returns:
            None where some places get nothing.
        """

        def read(place: int) -> list[int]:
            offsets = (place + before - dilation * element for element in range(kernel))
            return sorted(offset // stride for offset in offsets if offset % stride == 0)

        if not all(read(place) for place in range(stride)):
            return None
        return self._made(read, self.period * stride, self.advance, count)

    def whole(self) -> Axis:
        """One position that sees all that these see."""
        return self._made(lambda _place: range(self.count), 1, self.count * self.advance // self.period, 1)

    def _made(self, read: Callable[[int], Sequence[int]], period: int, advance: int, count: int) -> Axis:
        """A side whose place p reads the positions ``read(p)``, ascending and evenly apart."""
        lefts, rights = [], []
        for place in range(period):
            positions = read(place)  # ranges move on with every period, so that its ends are enough
            lefts.append(min(self.left(position) for position in positions[: self.period]))
            rights.append(max(self.right(position) for position in positions[-self.period :]))
        return Axis(tuple(lefts), tuple(rights), advance, count)._shortest()

    def _shortest(self) -> Axis:
        """The same with the least period that tells all."""
        for period in range(1, self.period):
            if self.period % period or self.advance * period % self.period:
                continue
            axis = Axis(self.lefts[:period], self.rights[:period], self.advance * period // self.period, self.count)
            places = range(self.period)
            if all(axis.left(p) == self.lefts[p] and axis.right(p) == self.rights[p] for p in places):
                return axis
        return self


@dataclass(frozen=True, slots=True)
class Field:
    """Both sides of a map."""

    h: Axis
    w: Axis

    @classmethod
    def of_image(cls, height: int, width: int) -> Field:
        """Every pixel sees itself."""
        return cls(Axis.of_pixels(height), Axis.of_pixels(width))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the receptive field, in pixels."""
        return (self.h.size, self.w.size)

    @property
    def stride(self) -> tuple[int, int] | None:
        """Pixels from one position to the next, down and across; None where they are no whole numbers."""
        down, across = self.h.stride, self.w.stride
        return None if down is None or across is None else (down, across)

    @property
    def padding(self) -> tuple[int, int]:
        """Pixels above and left of the image that position 0 sees; below 0 where it begins inside."""
        return (-self.h.left(0), -self.w.left(0))

    @property
    def counts(self) -> tuple[int, int]:
        """Positions down and across."""
        return (self.h.count, self.w.count)

    def whole(self) -> Field:
        """One position that sees all that these see."""
        return Field(self.h.whole(), self.w.whole())


def meet(fields: Iterable[Field]) -> Field | None:
    """The field of a map made position by position from several.

    Args:
        fields: Of the maps that are summed, multiplied or put side by side.

    Returns:
        From the first pixel that any of them sees to the last. Maps of a single position that are spread over larger
        ones (a gate of squeeze-and-excitation) are left out. None where the maps do not keep pace, so that no one
        answer holds.
    """
    known = list(fields)
    most = max(field.counts for field in known)
    aligned = [field for field in known if field.counts == most]
    down, across = _union([field.h for field in aligned]), _union([field.w for field in aligned])
    return None if down is None or across is None else Field(down, across)


def _union(axes: list[Axis]) -> Axis | None:
    first = axes[0]
    if any(axis.advance * first.period != first.advance * axis.period for axis in axes):
        return None
    period = math.lcm(*(axis.period for axis in axes))
    lefts = tuple(min(axis.left(place) for axis in axes) for place in range(period))
    rights = tuple(max(axis.right(place) for axis in axes) for place in range(period))
    return Axis(lefts, rights, first.advance * period // first.period, first.count)._shortest()
