"""Output sizes and padding of sliding windows."""

from __future__ import annotations

from striate.core.errors import InputShapeError


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Output length of a sliding window along one side: ``floor((W - F + 2P) / S) + 1``, F being the dilated kernel.

    Args:
        size: Length W of the input side, in pixels.
        kernel: Length of the kernel side.
        stride: Stride S.
        padding: Zeros P added at each end.
        dilation: Distance between kernel elements.

    Raises:
        InputShapeError: The padded input is smaller than the window.

    Example:
        >>> output_size(227, 11, stride=4)
        55
    """
    extent = dilation * (kernel - 1) + 1
    if size + 2 * padding < extent:
        raise InputShapeError(
            f"a window of {extent} px does not fit into a side of {size} px with padding {padding}",
            hint="use a larger image or more padding",
        )
    return (size + 2 * padding - extent) // stride + 1


def same_padding(size: int, kernel: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """Padding before and after a side for ``ceil(size / stride)`` outputs, as TensorFlow's ``SAME`` pads.

    If the total is odd, the extra zero goes after the side.

    Args:
        size: Length of the input side, in pixels.
        kernel: Length of the kernel side.
        stride: Stride.
        dilation: Distance between kernel elements.

    Example:
        >>> same_padding(224, 3, stride=2)
        (0, 1)
    """
    extent = dilation * (kernel - 1) + 1
    total = max((-(-size // stride) - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2
