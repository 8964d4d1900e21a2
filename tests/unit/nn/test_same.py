"""Padding for ``ceil(size / stride)`` outputs: a recorded call computes what an eager one does."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from striate.core.shapes import same_padding
from striate.nn.conv import make_conv2d
from striate.nn.pool import CeilMaxPool2d, PoolPadding, avg_pool2d, max_pool2d
from striate.nn.same import same_pads


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_pads_are_those_of_tensorflow(kernel: int, stride: int) -> None:
    for (height, width), dilation in itertools.product(itertools.product(range(1, 9), repeat=2), (1, 2)):
        pads = same_pads(torch.empty(1, 1, height, width), (kernel, 3), (stride, 2), (dilation, 1))
        assert pads == [*same_padding(width, 3, 2), *same_padding(height, kernel, stride, dilation)]


def layers() -> list[nn.Module]:
    paddings: tuple[PoolPadding, ...] = ("same", "zeros")
    found: list[nn.Module] = [make_conv2d(2, 2, side, stride=2, padding="same") for side in (1, 2, 3)]
    found.append(make_conv2d(2, 2, 2, stride=3, padding="same"))
    found += [make(3, stride=2, padding=each) for make in (max_pool2d, avg_pool2d) for each in paddings]
    return [*found, avg_pool2d(3, stride=1, padding="same"), CeilMaxPool2d(3, 2), CeilMaxPool2d(2, 2)]


@pytest.mark.parametrize("layer", layers(), ids=str)
def test_a_recorded_layer_computes_the_same_at_every_size(layer: nn.Module) -> None:
    graph = torch.fx.symbolic_trace(nn.Sequential(layer))
    for height, width in itertools.product(range(3, 9), repeat=2):
        x = torch.randn(2, 2, height, width)
        torch.testing.assert_close(graph(x), layer(x))


def test_a_pool_that_would_leave_positions_out_is_refused() -> None:
    with pytest.raises(ValueError, match="stride of 3"):
        CeilMaxPool2d(2, 3)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("layer", [CeilMaxPool2d(3, 2), avg_pool2d(3, stride=2, padding="same")], ids=str)
def test_a_trace_of_one_size_keeps_the_layers_of_that_size(layer: nn.Module) -> None:
    """Such traces go to OpenVINO: padding that is left open would only slow them down."""
    graph = str(torch.jit.trace(layer, torch.rand(1, 2, 8, 8), check_trace=False).inlined_graph)  # pyright: ignore
    assert "pool2d" in graph
    assert "pad(" not in graph
