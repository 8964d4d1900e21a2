"""Convolution, explained and executable: forward, gradient for the kernel, gradient for the input, as matrix products.

What a convolutional layer computes is a *cross-correlation*: the kernel is laid on the image as it is, not flipped.
Three sentences say everything, and the three functions below are those sentences:

1. **forward**: the output is the cross-correlation of the input with the kernel;
2. **gradient for the kernel**: the cross-correlation of the input with the gradient that comes from above;
3. **gradient for the input**: the *convolution* of that gradient with the kernel, which is the cross-correlation of the
   gradient, zeros put between its elements and around them, with the kernel turned by half a turn.

Each becomes one matrix product per group of channels once the patches of the window are the columns of a matrix
(`patches`). A stride leaves patches out; a dilation draws each patch from pixels further apart; groups cut the channels
into parts that do not see each other. Nothing here is fast, and networks do not use it: they use the framework's
kernels, which the tests hold against these.

Source:
    LeCun et al. 1998, Gradient-Based Learning Applied to Document Recognition, section II; Goodfellow, Bengio,
    Courville 2016, Deep Learning, section 9.5, of which these are the general case.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.core.errors import InputShapeError
from striate.core.shapes import output_size, same_padding

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How a kernel slides.

    Args:
        stride: Pixels from one place to the next, down and across.
        before: Zeros at the top and at the left.
        after: Zeros at the bottom and at the right.
        dilation: Pixels from one element of the kernel to the next.
        groups: Groups of channels that do not see each other.
    """

    stride: Pair = (1, 1)
    before: Pair = (0, 0)
    after: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        """Reject what no window can do."""
        if min(*self.stride, *self.dilation, self.groups) < 1 or min(*self.before, *self.after) < 0:
            raise ValueError(f"strides, dilations and groups are at least 1 and paddings at least 0; got {self}")

    @classmethod
    def same(cls, sides: Pair, kernel: Pair, *, stride: Pair = (1, 1), dilation: Pair = (1, 1)) -> Window:
        """The window with ceil(side / stride) positions each way; the odd zero goes to the bottom and to the right.

        Example:
            >>> Window.same((224, 224), (3, 3), stride=(2, 2)).after
            (1, 1)
        """
        pads = [same_padding(*each) for each in zip(sides, kernel, stride, dilation, strict=True)]
        return cls(stride=stride, dilation=dilation, before=(pads[0][0], pads[1][0]), after=(pads[0][1], pads[1][1]))

    def positions(self, sides: Pair, kernel: Pair) -> Pair:
        """Positions of the window down and across: ``floor((W - F + 2P) / S) + 1`` each way.

        Args:
            sides: Of the image.
            kernel: Sides of the kernel, before dilation.

        Raises:
            InputShapeError: The window does not fit even once.
        """
        down, across = (
            output_size(side + before + after, reach, step, dilation=apart)
            for side, before, after, reach, step, apart in zip(
                sides, self.before, self.after, kernel, self.stride, self.dilation, strict=True
            )
        )
        return down, across


def forward(x: Tensor, kernel: Tensor, window: Window | None = None) -> Tensor:
    """The cross-correlation of images with a kernel: ``y[n, j, p] = sum over i, q of x[n, i, p S + q D] k[j, i, q]``.

    Args:
        x: Images.
        kernel: One small image of weights for each output channel and each input channel of its group.
        window: How the kernel slides; None moves it pixel by pixel without padding.

    Shape:
        ``[n, in, h, w]`` and ``[out, in / groups, kh, kw]`` to ``[n, out, positions down, positions across]``.

    Raises:
        InputShapeError: The window does not fit, or the channels do not.

    Example:
        The patch of an image under Sobel's kernel, which answers where brightness changes from left to right:

        >>> patch = torch.tensor([[[[200.0, 150, 150], [100, 50, 100], [25, 25, 10]]]])
        >>> sobel = torch.tensor([[[[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]]])
        >>> forward(patch, sobel).item()
        65.0
    """
    window = window or Window()
    columns = patches(x, kernel, window)  # [n, groups, in / groups * kh * kw, positions]
    rows = kernel.reshape(
        window.groups, kernel.shape[0] // window.groups, -1
    )  # [groups, out / groups, in / groups * kh * kw]
    positions = window.positions((x.shape[2], x.shape[3]), (kernel.shape[2], kernel.shape[3]))
    return (rows @ columns).reshape(x.shape[0], kernel.shape[0], *positions)


def kernel_gradient(x: Tensor, above: Tensor, kernel: Tensor, window: Window | None = None) -> Tensor:
    """How the loss changes with each weight: the cross-correlation of the input with the gradient from above.

    Args:
        x: What went into `forward`.
        above: The gradient of the loss for what came out of it.
        kernel: The kernel; only its shape is read, since the output is linear in it.
        window: As in `forward`.

    Shape:
        ``[n, in, h, w]`` and ``[n, out, positions down, positions across]`` to ``[out, in / groups, kh, kw]``.
    """
    window = window or Window()
    columns = patches(x, kernel, window)
    rows = above.reshape(
        x.shape[0], window.groups, kernel.shape[0] // window.groups, -1
    )  # [n, groups, out / groups, positions]
    return (rows @ columns.transpose(-1, -2)).sum(dim=0).reshape(kernel.shape)


def input_gradient(above: Tensor, kernel: Tensor, sides: Pair, window: Window | None = None) -> Tensor:
    """How the loss changes with each pixel: the convolution of the gradient from above with the kernel.

    It is computed as what it is, a cross-correlation again: of the gradient, with S - 1 zeros between its elements and
    room for the kernel around it, with the kernel turned by half a turn and its channels exchanged.

    Args:
        above: The gradient of the loss for what came out of `forward`.
        kernel: The kernel; the input does not matter, since the output is linear in it.
        sides: Of the images that went in; several sides give the same number of positions.
        window: As in `forward`.

    Shape:
        ``[n, out, positions down, positions across]`` to ``[n, in, *sides]``.
    """
    window = window or Window()
    n, groups = above.shape[0], window.groups
    reach = [d * (k - 1) for d, k in zip(window.dilation, kernel.shape[2:], strict=True)]
    stretched = _stretched(above, window.stride)
    pads: list[int] = []
    for axis in (1, 0):  # F.pad takes the last axis first
        first = reach[axis] - window.before[axis]
        # pixels after the last place belong to no window, and the gradient there is zero
        pads += [first, sides[axis] + reach[axis] - first - stretched.shape[2 + axis]]
    turned = kernel.reshape(groups, -1, *kernel.shape[1:]).flip(-1, -2).transpose(1, 2)
    turned = turned.reshape(groups * kernel.shape[1], -1, *kernel.shape[2:])  # [in, out / groups, kh, kw]
    grown = F.pad(stretched, [max(pad, 0) for pad in pads])  # first, since what is cut off may be more than there was
    room = F.pad(grown, [min(pad, 0) for pad in pads])
    return forward(room, turned, Window(dilation=window.dilation, groups=groups)).reshape(n, -1, *sides)


def patches(x: Tensor, kernel: Tensor, window: Window) -> Tensor:
    """The patch at each position of the window, as columns.

    Shape:
        ``[n, in, h, w]`` to ``[n, groups, in / groups * kh * kw, positions]``.

    Raises:
        InputShapeError: The window does not fit, or the channels do not.
    """
    n, channels, height, width = x.shape
    if channels != window.groups * kernel.shape[1] or kernel.shape[0] % window.groups:
        raise InputShapeError(
            f"a kernel of {list(kernel.shape)} in {window.groups} groups does not suit {channels} channels",
            hint="it is [out, in / groups, height, width], and groups divide both out and in",
        )
    (down, across), (kh, kw) = window.positions((height, width), (kernel.shape[2], kernel.shape[3])), kernel.shape[2:]
    padded = F.pad(x, (window.before[1], window.after[1], window.before[0], window.after[0]))
    rows = _seen(down, kh, window.stride[0], window.dilation[0])  # [kh, down]: which row each element lies on
    across_at = _seen(across, kw, window.stride[1], window.dilation[1])
    seen = padded[:, :, rows[:, None, :, None], across_at[None, :, None, :]]  # [n, in, kh, kw, down, across]
    return seen.reshape(n, window.groups, kernel.shape[1] * kh * kw, down * across)


def _seen(positions: int, kernel: int, stride: int, dilation: int) -> Tensor:
    return dilation * torch.arange(kernel)[:, None] + stride * torch.arange(positions)[None, :]


def _stretched(maps: Tensor, stride: Pair) -> Tensor:
    """The maps with S - 1 zeros between neighbours."""
    n, channels, height, width = maps.shape
    wide = maps.new_zeros(n, channels, (height - 1) * stride[0] + 1, (width - 1) * stride[1] + 1)
    wide[:, :, :: stride[0], :: stride[1]] = maps
    return wide
