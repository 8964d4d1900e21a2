"""What one position of a map sees of the picture, and how far the next position looks on.

Along one side, position ``i`` of a map sees the pixels from ``left + i * stride`` to ``right + i * stride``. A window
that slides over a map widens that range, and where branches meet their ranges unite. Pixels beyond the picture
(padding) count as seen.

Source:
    Araujo, Norris, Sim 2019, Computing Receptive Fields of Convolutional Neural Networks (Distill), with padding on
    both sides told apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Axis:
    """One side of a map.

    Args:
        left: First pixel seen by position 0; below 0 where it lies in the padding.
        right: Last pixel seen by position 0.
        stride: Pixels from one position to the next.
        count: Positions.
    """

    left: int
    right: int
    stride: int
    count: int

    @property
    def size(self) -> int:
        """Pixels that one position sees, from the first to the last."""
        return self.right - self.left + 1

    def window(self, kernel: int, *, stride: int = 1, before: int = 0, dilation: int = 1, count: int) -> Axis:
        """The side after a window slid over it.

        Args:
            kernel: Elements of the window.
            stride: Its step, in positions.
            before: Padding before position 0, in positions.
            dilation: Positions from one element of the window to the next.
            count: Places it took.
        """
        left = self.left - before * self.stride
        right = self.right + (dilation * (kernel - 1) - before) * self.stride
        return Axis(left, right, self.stride * stride, count)

    def whole(self) -> Axis:
        """One position that sees all that these see."""
        return self.window(self.count, stride=self.count, count=1)


@dataclass(frozen=True, slots=True)
class Field:
    """Both sides of a map."""

    h: Axis
    w: Axis

    @classmethod
    def of_picture(cls, height: int, width: int) -> Field:
        """Every pixel sees itself."""
        return cls(Axis(0, 0, 1, height), Axis(0, 0, 1, width))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the receptive field, in pixels."""
        return (self.h.size, self.w.size)

    @property
    def stride(self) -> tuple[int, int]:
        """Pixels from one position to the next, down and across."""
        return (self.h.stride, self.w.stride)

    def whole(self) -> Field:
        """One position that sees all that these see."""
        return Field(self.h.whole(), self.w.whole())


def meet(fields: Iterable[Field], height: int, width: int) -> Field | None:
    """The field of a map made position by position from several.

    Args:
        fields: Of the maps that are summed, multiplied or put side by side.
        height: Positions down of the result.
        width: Positions across.

    Returns:
        From the first pixel that any of them sees to the last. Maps of a single position that are spread over a larger
        one (a gate of squeeze-and-excitation) are left out. None where strides differ, so that no one answer holds.
    """
    aligned = [field for field in fields if (field.h.count, field.w.count) == (height, width)]
    if not aligned or len({field.stride for field in aligned}) > 1:
        return None
    return Field(_union([field.h for field in aligned]), _union([field.w for field in aligned]))


def _union(axes: list[Axis]) -> Axis:
    return replace(axes[0], left=min(axis.left for axis in axes), right=max(axis.right for axis in axes))
