"""Sizing equals brute force on random networks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from striate.nn.conv import Padding, conv2d
from striate.nn.heads import Head, global_pool
from striate.sizing import measure


class Stack(nn.Module):
    """Random layers, with a shortcut around some, and the smallest head."""

    def __init__(self, layers: list[nn.Module], channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)
        self.head = Head({"pool": global_pool(), "logits": nn.Linear(channels, 2)})
        self.aux = nn.ModuleDict()
        self.classes = 2

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class Branches(nn.Module):
    """Two ways from the same map, added."""

    def __init__(self, long: nn.Module, short: nn.Module) -> None:
        super().__init__()
        self.long = long
        self.short = short

    def forward(self, x: Tensor) -> Tensor:
        return self.long(x) + self.short(x)


@st.composite
def stacks(draw: st.DrawFn) -> Stack:
    channels, layers = 2, []
    for _ in range(draw(st.integers(1, 4))):
        form = draw(st.sampled_from(["conv", "same", "after", "dilated", "depthwise", "max", "mean", "branches"]))
        kernel, stride = draw(st.sampled_from([1, 3, 5])), draw(st.integers(1, 2))
        if form == "conv":
            layers.append(nn.Conv2d(channels, 4, (kernel, 3), stride=(stride, 1), padding=(draw(st.integers(0, 2)), 1)))
            channels = 4
        elif form in ("same", "after"):
            layers.append(conv2d(channels, 4, 3, stride=stride, padding=form))
            channels = 4
        elif form == "dilated":
            layers.append(nn.Conv2d(channels, channels, 3, dilation=2, padding=2))
        elif form == "depthwise":
            layers.append(nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels))
        elif form == "max":
            layers.append(nn.MaxPool2d(3, stride=stride, padding=1, ceil_mode=draw(st.booleans())))
        elif form == "mean":
            layers.append(nn.AvgPool2d(2))
        else:
            long = nn.Sequential(conv2d(channels, channels, 3), conv2d(channels, channels, 3, stride=stride))
            ways = [long, conv2d(channels, channels, 1, stride=stride)]
            layers.append(Branches(*draw(st.permutations(ways))))
    return Stack(layers, channels).eval()


def gradient_support(body: nn.Module, side: int, place: tuple[int, int]) -> tuple[list[int], list[int]]:
    """First and last row, first and last column of the pixels that the map's position depends on."""
    for layer in body.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 0.1)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    x = torch.rand(1, 2, side, side, dtype=torch.float64, requires_grad=True)
    for layer in body.modules():  # a maximum's gradient reaches one pixel: let it reach all of its window
        if isinstance(layer, nn.MaxPool2d):
            layer.register_forward_hook(
                lambda layer, given, out: nn.functional.avg_pool2d(
                    given[0], layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode
                )
            )
    body.double()(x)[0, :, place[0], place[1]].sum().backward()
    assert x.grad is not None
    seen = x.grad[0].abs().sum(0).nonzero()
    return [int(seen[:, 0].min()), int(seen[:, 0].max())], [int(seen[:, 1].min()), int(seen[:, 1].max())]


@given(stacks())
@settings(max_examples=40, deadline=None)
def test_receptive_field_equals_the_gradients_support(model: Stack) -> None:
    side = 192
    totals = measure(model, (2, side, side)).totals
    assert totals.receptive_field is not None
    assert totals.stride is not None
    maps = model.body(torch.zeros(1, 2, side, side))
    middle = (maps.shape[2] // 2, maps.shape[3] // 2)
    rows, columns = gradient_support(model.body, side, middle)
    if rows[0] > 0 and columns[0] > 0 and rows[1] < side - 1 and columns[1] < side - 1:
        assert (rows[1] - rows[0] + 1, columns[1] - columns[0] + 1) == totals.receptive_field
        below, across = gradient_support(model.body, side, (middle[0] + 1, middle[1] + 1))
        assert (below[0] - rows[0], across[0] - columns[0]) == totals.stride


@given(stacks(), st.integers(24, 40))
@settings(max_examples=40, deadline=None)
def test_macs_and_shapes_equal_what_runs(model: Stack, side: int) -> None:
    record = measure(model, (2, side, side))
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 2, side, side))
    assert 2 * record.totals.macs == counter.get_total_flops()
    assert sum(row.params for row in record.layers) == record.totals.params
    assert record.layers[-1].output == (2,)
    assert record.totals.connections == record.totals.macs


@pytest.mark.parametrize("first", ["symmetric", "after"])
def test_branches_that_look_to_different_sides_see_both(first: Padding) -> None:
    second: Padding = "after" if first == "symmetric" else "symmetric"
    model = Stack([Branches(conv2d(2, 4, 3, stride=2, padding=first), conv2d(2, 4, 3, stride=2, padding=second))], 4)
    rows, columns = gradient_support(model.body, 16, (3, 3))
    assert (rows, columns) == ([5, 8], [5, 8])
    model.float()
    assert measure(model, (2, 16, 16)).totals.receptive_field == (4, 4)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_global_gate_is_left_out_of_the_receptive_field(stride: int) -> None:
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), nn.Sigmoid())

        def forward(self, x: Tensor) -> Tensor:
            return x * self.gate(x)

    conv = nn.Conv2d(3, 4, 3, stride=stride)
    plain, gated = Stack([conv], 4), Stack([conv, Gate()], 4)
    assert measure(gated, (3, 16, 16)).totals.receptive_field == measure(plain, (3, 16, 16)).totals.receptive_field
    assert measure(gated, (3, 16, 16)).totals.stride == (stride, stride)


def test_an_operation_without_a_rule_leaves_the_field_unknown_and_the_costs_exact() -> None:
    shuffle = Stack([nn.Conv2d(3, 8, 3), nn.PixelShuffle(2), nn.Conv2d(2, 4, 1)], 4)
    totals = measure(shuffle, (3, 10, 10)).totals
    assert totals.receptive_field is None
    assert totals.stride is None
    assert totals.macs == 8 * 8 * 8 * 27 + 16 * 16 * 4 * 2 + 4 * 2
