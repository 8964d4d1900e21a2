"""Depthwise convolutions with a backward pass of their own have PyTorch's values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.models import REGISTRY
from striate.nn.conv import Padding, make_conv2d
from striate.training import depthwise
from striate.training.objective import Objective


def gradients(layer: nn.Conv2d, x: Tensor, *, fast: bool) -> list[Tensor]:
    """Output, and gradients of input, weight and bias."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        if fast:
            with depthwise.FastBackward():
                y = layer(x)
        else:
            y = layer(x)
    (y.float() * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    assert x.grad is not None
    return [y.detach(), x.grad, *(each.grad for each in layer.parameters() if each.grad is not None)]


@pytest.mark.parametrize("side", [9, 12])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 2), (5, 1), (7, 1), (3, 3)])
@pytest.mark.parametrize("padding", ["symmetric", "same", "valid"])
def test_gradients_are_those_of_pytorch(padding: Padding, kernel: int, stride: int, side: int) -> None:
    torch.manual_seed(0)
    layer = make_conv2d(6, 6, kernel, stride=stride, padding=padding, groups=6, bias=True)
    x = torch.randn(2, 6, side, side).contiguous(memory_format=torch.channels_last)
    assert depthwise.worthwhile(layer)
    ours, theirs = gradients(layer, x, fast=True), gradients(layer, x, fast=False)
    assert len(ours) == len(theirs) == 4
    assert torch.equal(ours[0], theirs[0])
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        assert one.dtype == other.dtype
        assert (one - other).norm() < 0.01 * other.norm()


def test_frozen_weights_and_first_layers_take_no_gradient() -> None:
    layer = make_conv2d(4, 4, 3, stride=2, groups=4).requires_grad_(False)
    x = torch.randn(1, 4, 8, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16), depthwise.FastBackward():
        layer(x).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is None
    layer.requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16), depthwise.FastBackward():
        layer(x.detach()).sum().backward()
    assert layer.weight.grad is not None


def test_a_step_of_training_takes_it_in_bfloat16_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    spread = depthwise._spread
    monkeypatch.setattr(depthwise, "_spread", lambda *given: ran.append(1) or spread(*given))
    entry = REGISTRY.get("mobilenet_v2")
    model = entry.build(entry.tiny, classes=3, in_channels=3)
    x, labels = torch.randn(2, 3, 64, 64), torch.tensor([0, 1])
    for precision, strided in (("float32", 0), ("bf16", 4)):
        Objective(model, torch.nn.CrossEntropyLoss(), precision=precision)(x, labels).backward()
        assert len(ran) == strided
    assert not depthwise.worthwhile(REGISTRY.get("resnet20_cifar").create())
