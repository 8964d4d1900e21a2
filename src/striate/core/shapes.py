"""The arithmetic of windows sliding over images."""

from __future__ import annotations

from striate.core.errors import InputShapeError


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Places that a window takes along one side: ``floor((W - F + 2P) / S) + 1`` with F the dilated kernel.

    Args:
        size: Input side W, in pixels.
        kernel: Kernel side.
        stride: Step S.
        padding: Zeros P added at each end.
        dilation: Distance between kernel elements.

    Raises:
        InputShapeError: The window does not fit even once.

    Example:
        >>> output_size(227, 11, stride=4)
        55
    """
    reach = dilation * (kernel - 1) + 1
    if size + 2 * padding < reach:
        raise InputShapeError(
            f"a window of {reach} px does not fit a side of {size} px with padding {padding}",
            hint="give a larger image, or more padding",
        )
    return (size + 2 * padding - reach) // stride + 1


def same_padding(size: int, kernel: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """Zeros before and after a side so that ``ceil(size / stride)`` outputs come; the odd one goes after.

    Example:
        >>> same_padding(224, 3, stride=2)
        (0, 1)
    """
    reach = dilation * (kernel - 1) + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2
