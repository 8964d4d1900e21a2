"""Depthwise convolutions whose backward pass in bfloat16 is fast on processors.

Two of oneDNN's kernels are slow there. The gradient of the input of a strided convolution needs up to seventy times as
long as that of an unstrided one; yet a strided convolution is an unstrided one of which some outputs are kept, so its
gradient is that of the unstrided one for gradients with zeros where none was kept. And the gradient of a weight of more
than 3 x 3 needs up to six times as long as in float32, the conversion included. The first is two fifths of a training
step of MobileNet v2, the two together as much of EfficientNet's.
"""

from __future__ import annotations

from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

LARGEST_FAST = 3
"""Side of the largest kernel whose gradient in bfloat16 is fast."""


def worthwhile(module: nn.Module) -> bool:
    """Whether a network has depthwise convolutions that `FastBackward` concerns."""
    return any(
        isinstance(each, nn.Conv2d)
        and 1 < each.groups == each.in_channels
        and (max(each.stride) > 1 or max(each.kernel_size) > LARGEST_FAST)
        for each in module.modules()
    )


@final
class FastBackward(TorchFunctionMode):
    """Within this, depthwise convolutions under autocast go backward through fast kernels.

    The values are the same, and gradients too but for rounding.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function, or what takes its place."""
        if func is F.conv2d and len(args) == 7 and torch.is_autocast_enabled("cpu"):  # as `nn.Conv2d` calls it
            x, weight, bias, stride, padding, dilation, groups = args
            depthwise = 1 < groups == x.shape[1] == weight.shape[0] and not isinstance(padding, str)
            if depthwise and (max(stride) > 1 or max(weight.shape[2:]) > LARGEST_FAST):
                low = (each if each is None else each.to(torch.bfloat16) for each in (x, weight, bias))
                return _Depthwise.apply(*low, tuple(stride), tuple(padding), tuple(dilation))
        return func(*args, **(kwargs or {}))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int],
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how = stride, padding, dilation
        return F.conv2d(x, weight, bias, stride, padding, dilation, x.shape[1])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        grad: Tensor = grads[0]
        x, weight = ctx.saved_tensors
        stride, padding, dilation = ctx.how
        of_x, of_weight, of_bias = ctx.needs_input_grad[:3]
        found: list[Tensor | None] = [None, None, None]
        if of_x:
            wide = _spread(grad, x, weight, *ctx.how) if max(stride) > 1 else grad
            found[0] = _gradient(0, wide, x, weight, (1, 1), padding, dilation)
        if of_weight:
            how = grad, x, weight
            if max(weight.shape[2:]) > LARGEST_FAST:
                how = grad.float(), x.float(), weight.float()
            found[1] = _gradient(1, *how, stride, padding, dilation).to(weight.dtype)
        if of_bias:
            found[2] = grad.sum((0, 2, 3))
        return (*found, None, None, None)


def _spread(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    """The outputs' gradient at the positions where the unstrided convolution has these outputs, zeros elsewhere."""
    height, width = (
        size + 2 * pad - gap * (kernel - 1)
        for size, kernel, pad, gap in zip(x.shape[2:], weight.shape[2:], padding, dilation, strict=True)
    )
    shape = (*grad.shape[:2], height, width)
    wide = torch.empty(shape, dtype=grad.dtype, device=grad.device, memory_format=torch.channels_last).zero_()
    wide[:, :, :: stride[0], :: stride[1]] = grad
    return wide


def _gradient(
    which: int,
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    """The gradient of the input (0) or of the weight (1)."""
    wanted = [which == each for each in range(3)]
    return torch.ops.aten.convolution_backward(
        grad, x, weight, None, stride, padding, dilation, False, (0, 0), x.shape[1], wanted
    )[which]
