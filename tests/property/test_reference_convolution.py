"""The reference convolution (matrix products) equals PyTorch's, forward and backward."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from striate.core.errors import InputShapeError
from striate.nn.conv import make_conv2d
from striate.nn.reference import Window, forward, input_gradient, kernel_gradient

PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
PADS = st.tuples(st.integers(0, 3), st.integers(0, 3))


@dataclass(frozen=True)
class Case:
    shape: tuple[int, int, int, int]
    kernel: tuple[int, int, int, int]
    window: Window
    seed: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    groups = draw(st.integers(1, 3))
    kernel, dilation, before, after = draw(PAIRS), draw(PAIRS), draw(PADS), draw(PADS)
    smallest = [max(1, d * (k - 1) + 1 - b - a) for k, d, b, a in zip(kernel, dilation, before, after, strict=True)]
    sides = [side + draw(st.integers(0, 5)) for side in smallest]
    window = Window(stride=draw(PAIRS), before=before, after=after, dilation=dilation, groups=groups)
    into, out = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    shape = (draw(st.integers(1, 2)), into, sides[0], sides[1])
    return Case(shape, (out, into // groups, *kernel), window, draw(st.integers(0, 2**31)))


@settings(max_examples=150, deadline=None)
@given(cases())
@example(
    Case((1, 1, 1, 1), (1, 1, 1, 1), Window(stride=(1, 3), before=(0, 2), after=(0, 0)), 0)
)  # the second output reads padding only
def test_forward_and_both_gradients_equal_pytorchs(case: Case) -> None:
    torch.manual_seed(case.seed)
    window = case.window
    x = torch.randn(case.shape, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(case.kernel, dtype=torch.float64, requires_grad=True)
    padded = F.pad(x, (window.before[1], window.after[1], window.before[0], window.after[0]))
    expected = F.conv2d(padded, kernel, stride=window.stride, dilation=window.dilation, groups=window.groups)
    above = torch.randn_like(expected)
    expected.backward(above)
    with torch.no_grad():
        ours = forward(x, kernel, window)
        assert ours.shape == expected.shape
        for actual, reference in (
            (ours, expected),
            (kernel_gradient(x, above, kernel, window), kernel.grad),
            (input_gradient(above, kernel, (case.shape[2], case.shape[3]), window), x.grad),
        ):
            assert reference is not None
            torch.testing.assert_close(actual, reference, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("side", [7, 8, 13])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 3), (2, 2)])
def test_same_padding_equals_that_of_the_layers(side: int, kernel: int, stride: int) -> None:
    layer = make_conv2d(2, 3, kernel, stride=stride, padding="same").double()
    x = torch.randn(1, 2, side, side + 1, dtype=torch.float64)
    window = Window.same((side, side + 1), (kernel, kernel), stride=(stride, stride))
    ours = forward(x, layer.weight, window)
    assert ours.shape[2:] == (-(-side // stride), -(-(side + 1) // stride))
    torch.testing.assert_close(ours, layer(x), rtol=1e-10, atol=1e-10)


def test_input_gradient_is_the_full_convolution() -> None:
    """Without padding and stride, the input gradient equals the full convolution, summed term by term."""
    above, kernel = torch.randn(1, 1, 3, 4, dtype=torch.float64), torch.randn(1, 1, 2, 3, dtype=torch.float64)
    full = torch.zeros(1, 1, 4, 6, dtype=torch.float64)
    for down in range(3):
        for across in range(4):
            full[0, 0, down : down + 2, across : across + 3] += above[0, 0, down, across] * kernel[0, 0]
    torch.testing.assert_close(input_gradient(above, kernel, (4, 6)), full)


def test_invalid_windows() -> None:
    x, kernel = torch.zeros(1, 1, 5, 4), torch.zeros(1, 1, 3, 3)
    with pytest.raises(InputShapeError, match="a window of 5 px does not fit into a side of 4 px"):
        forward(x, kernel, Window(dilation=(2, 2)))
    with pytest.raises(InputShapeError, match="does not suit 1 channels"):
        forward(x, torch.zeros(2, 2, 3, 3))
    with pytest.raises(ValueError, match="at least 1"):
        Window(stride=(0, 1))
