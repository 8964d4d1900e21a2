"""Sizes and receptive fields of random networks, compared with brute force."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from striate.nn.conv import Padding, make_conv2d
from striate.nn.heads import Head, global_pool
from striate.nn.network import Network
from striate.sizing import measure
from striate.sizing.field import Axis


class Stack(Network):
    """Random layers, some with a shortcut, and the smallest possible head."""

    def __init__(self, layers: list[nn.Module], channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)
        self.head = Head({"pool": global_pool(), "logits": nn.Linear(channels, 2)})
        self.aux = nn.ModuleDict()
        self.classes = 2

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class Branches(Network):
    """The sum of two branches."""

    def __init__(self, long: nn.Module, short: nn.Module) -> None:
        super().__init__()
        self.long = long
        self.short = short

    def forward(self, x: Tensor) -> Tensor:
        return self.long(x) + self.short(x)


class ChannelsLast(Network):
    """A linear layer at each position, with the channels last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, channels), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        last = x.permute(0, 2, 3, 1)
        return (last + self.mlp(last)).permute(0, 3, 1, 2)


@st.composite
def stacks(draw: st.DrawFn) -> Stack:
    channels, layers = 2, []
    for _ in range(draw(st.integers(1, 4))):
        form = draw(
            st.sampled_from(["conv", "same", "after", "dilated", "depthwise", "max", "mean", "last", "branches"])
        )
        kernel, stride = draw(st.sampled_from([1, 3, 5])), draw(st.integers(1, 2))
        if form == "conv":
            layers.append(nn.Conv2d(channels, 4, (kernel, 3), stride=(stride, 1), padding=(draw(st.integers(0, 2)), 1)))
            channels = 4
        elif form in ("same", "after"):
            layers.append(make_conv2d(channels, 4, 3, stride=stride, padding=form))
            channels = 4
        elif form == "dilated":
            layers.append(nn.Conv2d(channels, channels, 3, dilation=2, padding=2))
        elif form == "depthwise":
            layers.append(nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels))
        elif form == "max":
            layers.append(nn.MaxPool2d(3, stride=stride, padding=1, ceil_mode=draw(st.booleans())))
        elif form == "mean":
            layers.append(nn.AvgPool2d(2))
        elif form == "last":
            layers.append(ChannelsLast(channels))
        else:
            long = nn.Sequential(make_conv2d(channels, channels, 3), make_conv2d(channels, channels, 3, stride=stride))
            branches = [long, make_conv2d(channels, channels, 1, stride=stride)]
            layers.append(Branches(*draw(st.permutations(branches))))
    return Stack(layers, channels).eval()


def gradient_support(body: nn.Module, side: int, position: tuple[int, int]) -> tuple[list[int], list[int]]:
    """First and last row, and first and last column, of the pixels that a position depends on."""
    for layer in body.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 0.1)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    x = torch.rand(1, 2, side, side, dtype=torch.float64, requires_grad=True)
    for layer in body.modules():  # replace max by mean: the gradient of a maximum reaches only one pixel of the window
        if isinstance(layer, nn.MaxPool2d):
            layer.register_forward_hook(
                lambda layer, given, out: nn.functional.avg_pool2d(
                    given[0], layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode
                )
            )
    body.double()(x)[0, :, position[0], position[1]].sum().backward()
    assert x.grad is not None
    reached = x.grad[0].abs().sum(0).nonzero()
    return [int(reached[:, 0].min()), int(reached[:, 0].max())], [int(reached[:, 1].min()), int(reached[:, 1].max())]


@given(stacks())
@settings(max_examples=40, deadline=None)
def test_receptive_field_equals_the_support_of_the_gradient(model: Stack) -> None:
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
def test_macs_and_shapes_equal_those_of_a_real_run(model: Stack, side: int) -> None:
    record = measure(model, (2, side, side))
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 2, side, side))
    assert 2 * record.totals.macs == counter.get_total_flops()
    assert sum(row.params for row in record.layers) == record.totals.params
    assert record.layers[-1].output == (2,)
    assert record.totals.connections == record.totals.macs


@pytest.mark.parametrize("first", ["symmetric", "after"])
def test_branches_padded_on_different_sides_have_the_union_of_their_fields(first: Padding) -> None:
    second: Padding = "after" if first == "symmetric" else "symmetric"
    model = Stack(
        [Branches(make_conv2d(2, 4, 3, stride=2, padding=first), make_conv2d(2, 4, 3, stride=2, padding=second))], 4
    )
    rows, columns = gradient_support(model.body, 16, (3, 3))
    assert (rows, columns) == ([5, 8], [5, 8])
    model.float()
    assert measure(model, (2, 16, 16)).totals.receptive_field == (4, 4)


@pytest.mark.parametrize("stride", [1, 2])
def test_receptive_field_ignores_a_global_gate(stride: int) -> None:
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


def test_an_unknown_operation_makes_the_field_unknown_and_keeps_the_macs_exact() -> None:
    shuffle = Stack([nn.Conv2d(3, 8, 3), nn.PixelShuffle(2), nn.Conv2d(2, 4, 1)], 4)
    totals = measure(shuffle, (3, 10, 10)).totals
    assert totals.receptive_field is None
    assert totals.stride is None
    assert totals.macs == 8 * 8 * 8 * 27 + 16 * 16 * 4 * 2 + 4 * 2


# ---------------------------------------------------------------------- one side, compared with sets of pixels

Pixels = Callable[[int], set[int]]


@st.composite
def chains(draw: st.DrawFn) -> tuple[Axis, Pixels]:
    """A sequence of windows and transposed windows, as an axis and as a function from positions to sets of pixels."""
    axis, pixels = Axis.of_pixels(1000), lambda position: {position}
    for _ in range(draw(st.integers(1, 4))):
        kernel, before, dilation = draw(st.integers(1, 4)), draw(st.integers(0, 2)), draw(st.integers(1, 2))
        stride = draw(st.integers(1, 3))
        if draw(st.booleans()):
            axis = axis.window(kernel, stride=stride, before=before, dilation=dilation, count=1000)

            def after(position: int, inner: Pixels = pixels, k=kernel, s=stride, b=before, d=dilation) -> set[int]:
                return set().union(*(inner(position * s - b + d * element) for element in range(k)))
        else:
            kernel = max(kernel, stride)
            longer = axis.transposed(kernel, stride=stride, before=before, count=1000)
            assert longer is not None
            axis = longer

            def after(position: int, inner: Pixels = pixels, k=kernel, s=stride, b=before) -> set[int]:
                offsets = [position + b - element for element in range(k)]
                return set().union(*(inner(offset // s) for offset in offsets if offset % s == 0))

        pixels = after
    return axis, pixels


@given(chains())
@settings(max_examples=100, deadline=None)
def test_axis_equals_the_sets_of_pixels(chain: tuple[Axis, Pixels]) -> None:
    axis, pixels = chain
    for position in range(-3, 2 * axis.period + 3):
        assert (axis.left(position), axis.right(position)) == (min(pixels(position)), max(pixels(position)))
    assert axis.size == max(max(pixels(position)) - min(pixels(position)) + 1 for position in range(axis.period))
    assert axis.left(axis.period) - axis.left(0) == axis.advance
    if axis.stride is not None:
        assert axis.stride * axis.period == axis.advance


def test_transposed_windows_with_gaps_are_unknown() -> None:
    assert Axis.of_pixels(8).transposed(2, stride=3, count=24) is None
    assert Axis.of_pixels(8).transposed(3, stride=2, dilation=2, count=19) is None


def test_upsampling_below_one_pixel_has_no_stride() -> None:
    finer = Stack([nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 4, 2, stride=2)], 4)
    totals = measure(finer, (3, 12, 12)).totals
    assert (totals.receptive_field, totals.stride) == ((3, 3), None)
    assert totals.macs == 10 * 10 * 4 * 27 + 10 * 10 * 4 * 4 * 4 + 4 * 2
    assert totals.units == 10 * 10 * 4 + 20 * 20 * 4 + 2


class Permuted(Network):
    """Linear layers over the last dimension, global response normalisation, and shuffled channel groups."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.wide = nn.Linear(channels, 4 * channels)
        self.narrow = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.wide(self.norm(self.conv(x).permute(0, 2, 3, 1)))
        norm = torch.linalg.vector_norm(y, dim=(1, 2), keepdim=True)
        y = self.narrow(y * (norm / norm.mean(dim=-1, keepdim=True)) + y).permute(0, 3, 1, 2)
        one, other = y.chunk(2, dim=1)
        n, c, h, w = y.shape
        shuffled = torch.cat([other, one], dim=1).view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return x + shuffled


def test_channels_last_and_in_micro_batches() -> None:
    model = Stack([nn.Conv2d(3, 4, 4, stride=4), Permuted(4), Permuted(4)], 4)
    record = measure(model, (3, 64, 48))
    assert record.totals.receptive_field == (4 + 2 * 6 * 4, 4 + 2 * 6 * 4)
    assert record.totals.stride == (4, 4)
    assert [row.name for row in record.layers if row.receptive_field is None] == []


def test_flattening_merges_the_receptive_fields() -> None:
    flat = Stack([nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 5, 8), nn.Unflatten(1, (8, 1, 1))], 8)
    assert measure(flat, (3, 8, 7)).totals.receptive_field == (8, 7)
