"""Convolutions with the paddings that published weights were trained with."""

from __future__ import annotations

from typing import Literal, final, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from striate.nn.same import pad_same

Padding = Literal["symmetric", "same", "after", "valid"]
"""How a convolution pads.

- ``"symmetric"``: (kernel - 1) // 2 * dilation zeros at both ends (PyTorch, Caffe).
- ``"same"``: ceil(size / stride) outputs, the odd zero after (TensorFlow); depends on the size of the input.
- ``"after"``: at stride 1 as ``"same"``; at a larger stride all kernel - stride zeros after, whatever the size
  (Keras' explicit ``ZeroPadding2D(((0, 1), (0, 1)))`` before a 3x3 convolution of stride 2).
- ``"valid"``: none.
"""


def check_padding(padding: str) -> None:
    """Raise ValueError for a word that is not one of `Padding`."""
    if padding not in get_args(Padding):
        raise ValueError(f"padding is one of {', '.join(get_args(Padding))}; got {padding!r}")


@final
class SamePadConv2d(nn.Conv2d):
    """A convolution that pads as TensorFlow's ``same`` does.

    Shape:
        ``[n, in, h, w]`` to ``[n, out, ceil(h / stride), ceil(w / stride)]``.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Pad by what this input's size asks for, then convolve."""
        return super().forward(pad_same(input, self.kernel_size, self.stride, self.dilation))


@final
class AfterPadConv2d(nn.Conv2d):
    """A strided convolution whose zeros all come after: bottom and right.

    Shape:
        ``[n, in, h, w]`` to ``[n, out, floor(h / stride), floor(w / stride)]``.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Pad kernel - stride zeros at the bottom and the right, then convolve."""
        bottom, right = (
            dilation * (kernel - 1) + 1 - stride
            for kernel, stride, dilation in zip(self.kernel_size, self.stride, self.dilation, strict=True)
        )
        return super().forward(F.pad(input, (0, right, 0, bottom)))


def make_conv2d(
    in_channels: int,
    out_channels: int,
    kernel: int | tuple[int, int],
    *,
    stride: int = 1,
    padding: Padding = "symmetric",
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv2d:
    """A convolution layer.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        kernel: Sides of the kernel, down and across; one number for a square.
        stride: Step in both directions.
        padding: See `Padding`.
        dilation: Pixels from one element of the kernel to the next.
        groups: Groups of channels that do not see each other.
        bias: Whether a bias is added; off where a normalisation follows.
    """
    check_padding(padding)
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    if padding == "same" and (stride > 1 or not all(side % 2 for side in sides)):
        return SamePadConv2d(in_channels, out_channels, sides, stride, dilation=dilation, groups=groups, bias=bias)
    if padding == "after" and stride > 1:
        return AfterPadConv2d(in_channels, out_channels, sides, stride, dilation=dilation, groups=groups, bias=bias)
    # at stride 1 an odd kernel pads alike under every rule
    zeros = (0, 0) if padding == "valid" else ((sides[0] - 1) // 2 * dilation, (sides[1] - 1) // 2 * dilation)
    return nn.Conv2d(in_channels, out_channels, sides, stride, zeros, dilation, groups, bias)


@final
class ConvNorm(nn.Sequential):
    """Convolution, batch normalisation, and (unless `act` is None) an activation.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        kernel: Sides of the kernel, down and across; one number for a square.
        stride: Step in both directions.
        padding: See `Padding`.
        groups: Groups of channels that do not see each other.
        eps: Added to the variance by the normalisation.
        act: The activation's class, called with ``inplace=True``; None for a linear output.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: Padding = "symmetric",
        groups: int = 1,
        eps: float = 1e-5,
        act: type[nn.ReLU] | type[nn.ReLU6] | type[nn.SiLU] | None = nn.ReLU,
    ) -> None:
        super().__init__()
        self.conv = make_conv2d(in_channels, out_channels, kernel, stride=stride, padding=padding, groups=groups)
        self.norm = nn.BatchNorm2d(out_channels, eps=eps)
        if act is not None:
            self.act = act(inplace=True)


@final
class SeparableConv(nn.Sequential):
    """A depthwise convolution, then a pointwise one, nothing between them.

    Source:
        Chollet 2016, Xception: Deep Learning with Depthwise Separable Convolutions (arXiv 1610.02357), section 1.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        kernel: Side of the depthwise kernel.
        stride: Step of the depthwise convolution in both directions.
        padding: See `Padding`.

    Shape:
        ``[n, in_channels, h, w]`` to ``[n, out_channels, h / stride, w / stride]``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, padding: Padding = "symmetric"
    ) -> None:
        super().__init__()
        self.depthwise = make_conv2d(
            in_channels, in_channels, kernel, stride=stride, padding=padding, groups=in_channels
        )
        self.pointwise = make_conv2d(in_channels, out_channels, 1)
