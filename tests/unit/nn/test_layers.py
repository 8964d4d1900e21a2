"""The layers that several papers use, against what they are defined by."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from striate.models.cifar_resnet import PaddedShortcut
from striate.models.mobilenet_v2 import rounded
from striate.models.vgg import ResponseNormalisedSpec
from striate.nn.conv import ConvNorm, SeparableConv, make_conv2d
from striate.nn.heads import Head, global_pool, pooled_head
from striate.nn.init import he, xavier
from striate.nn.pool import avg_pool2d, max_pool2d


@pytest.mark.parametrize("side", [7, 8, 9, 32, 33])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2), (1, 2), (7, 3)])
def test_same_padding_gives_ceil_of_side_over_stride_and_puts_the_odd_zero_after(
    side: int, kernel: int, stride: int
) -> None:
    conv = make_conv2d(1, 1, kernel, stride=stride, padding="same")
    x = torch.randn(1, 1, side, side)
    outputs = -(-side // stride)
    total = max((outputs - 1) * stride + kernel - side, 0)
    padded = F.pad(x, (total // 2, total - total // 2) * 2)
    assert conv(x).shape[-1] == outputs
    torch.testing.assert_close(conv(x), F.conv2d(padded, conv.weight, stride=stride))


@pytest.mark.parametrize("side", [8, 9])
def test_padding_after_does_not_ask_for_the_side(side: int) -> None:
    conv = make_conv2d(2, 2, 3, stride=2, padding="after", groups=2)
    x = torch.randn(1, 2, side, side)
    torch.testing.assert_close(conv(x), F.conv2d(F.pad(x, (0, 1, 0, 1)), conv.weight, stride=2, groups=2))


def test_on_even_sides_same_and_after_agree_and_symmetric_does_not() -> None:
    x = torch.randn(1, 1, 8, 8)
    results = {}
    for padding in ("same", "after", "symmetric"):
        conv = make_conv2d(1, 1, 3, stride=2, padding=padding)
        nn.init.ones_(conv.weight)
        results[padding] = conv(x)
    assert torch.equal(results["same"], results["after"])
    assert not torch.allclose(results["same"], results["symmetric"])


def test_an_unknown_padding_is_an_error() -> None:
    with pytest.raises(ValueError, match="padding is one of symmetric, same, after, valid; got 'full'"):
        make_conv2d(1, 1, 3, padding="full")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("side", [7, 8, 9, 32, 33])
@pytest.mark.parametrize(("window", "stride"), [(3, 2), (2, 2), (3, 1), (3, 3)])
def test_same_pools_see_every_position_and_no_padding(side: int, window: int, stride: int) -> None:
    x = -1 - torch.rand(1, 2, side, side + 1)  # below zero, so that a padding of zeros would show
    greatest = max_pool2d(window, stride=stride, padding="same")(x)
    mean = avg_pool2d(window, stride=stride, padding="same")(x)

    def windows(size: int) -> list[slice]:
        outputs = -(-size // stride)
        before = max((outputs - 1) * stride + window - size, 0) // 2
        starts = [place * stride - before for place in range(outputs)]
        return [slice(max(start, 0), min(start + window, size)) for start in starts]

    down, across = windows(side), windows(side + 1)
    assert greatest.shape[2:] == mean.shape[2:] == (len(down), len(across))
    for i, rows in enumerate(down):
        for j, columns in enumerate(across):
            assert torch.equal(greatest[..., i, j], x[..., rows, columns].amax((2, 3)))
            torch.testing.assert_close(mean[..., i, j], x[..., rows, columns].mean((2, 3)))


def test_an_even_window_of_stride_1_has_no_same_average() -> None:
    with pytest.raises(ValueError, match="a window of 2 at stride 1"):
        avg_pool2d(2, stride=1, padding="same")


def test_padding_zeros_take_part_in_a_pool() -> None:
    x = torch.full((1, 1, 4, 4), -9.0)
    assert max_pool2d(3, stride=2, padding="zeros")(x).tolist() == [[[[-9, 0], [0, 0]]]]
    assert avg_pool2d(3, stride=2, padding="zeros")(x).tolist() == [[[[-9, -6], [-6, -4]]]]
    assert avg_pool2d(3, stride=2)(x).tolist() == avg_pool2d(3, stride=2, padding="same")(x).tolist()


def test_on_even_sides_same_and_symmetric_pools_disagree() -> None:
    x = torch.arange(64.0).reshape(1, 1, 8, 8)
    assert not torch.equal(max_pool2d(3, stride=2, padding="same")(x), max_pool2d(3, stride=2)(x))
    assert torch.equal(max_pool2d(3, stride=2)(x), nn.MaxPool2d(3, 2, 1)(x))
    with pytest.raises(ValueError, match="a pool's padding is one of symmetric, same, zeros; got 'valid'"):
        max_pool2d(3, stride=2, padding="valid")  # pyright: ignore[reportArgumentType]


def test_a_separable_convolution_is_a_full_one_of_rank_one() -> None:
    separable = SeparableConv(3, 5, 3, stride=2, padding="same")
    whole = torch.einsum("oi,iyx->oiyx", separable.pointwise.weight[:, :, 0, 0], separable.depthwise.weight[:, 0])
    full = make_conv2d(3, 5, 3, stride=2, padding="same")
    full.weight = nn.Parameter(whole)
    x = torch.randn(2, 3, 8, 9)
    torch.testing.assert_close(separable(x), full(x))


def test_a_linear_output_has_no_activation() -> None:
    assert not any(isinstance(layer, nn.ReLU) for layer in ConvNorm(2, 3, 1, act=None))
    assert ConvNorm(2, 3, 1, eps=1e-3).norm.eps == 1e-3


def test_local_response_normalisation_is_the_papers() -> None:
    """Krizhevsky et al. 2012, section 3.3: b = a / (k + alpha * sum of squares of n neighbours) ** beta."""
    response = ResponseNormalisedSpec().build(3, 12, 3)[-1]
    a = 20 * torch.rand(1, 12, 4, 4)
    for i in range(12):
        near = a[:, max(0, i - 2) : i + 3]
        expected = a[:, i] / (2 + 1e-4 * near.square().sum(1)) ** 0.75
        torch.testing.assert_close(response(a)[:, i], expected)


@pytest.mark.parametrize("side", [8, 7])
def test_the_shortcut_without_parameters_subsamples_and_pads_channels_on_both_sides(side: int) -> None:
    x = torch.randn(2, 16, side, side)
    y = PaddedShortcut(16, 32, 2)(x)
    torch.testing.assert_close(y[:, 8:24], x[:, :, ::2, ::2])
    assert y[:, :8].abs().sum() == y[:, 24:].abs().sum() == 0
    assert PaddedShortcut(3, 6, 1)(x[:, :3]).shape[1] == 6


@pytest.mark.parametrize(
    ("channels", "expected"),
    [(8.4, 8), (11.2, 16), (24, 24), (33.6, 32), (134.4, 136), (448, 448), (4.8, 8), (1792, 1792)],
)
def test_channels_are_rounded_as_the_published_networks_are(channels: float, expected: int) -> None:
    assert rounded(channels) == expected


def test_a_head_ends_in_logits() -> None:
    with pytest.raises(ValueError, match="must be a linear layer called 'logits'"):
        Head({"pool": global_pool(), "fc": nn.Linear(4, 2)})
    with pytest.raises(ValueError, match="must be a linear layer called 'logits'"):
        Head({"logits": nn.Linear(4, 2), "act": nn.ReLU()})
    head = pooled_head(4, 2, dropout=0.5)
    assert (head.part_names, head.hidden) == (("pool", "drop", "logits"), ())


def test_what_learns_before_the_logits_is_a_feature_layer_of_the_head() -> None:
    head = Head({"pool": global_pool(), "norm": nn.LayerNorm(4), "drop": nn.Dropout(), "logits": nn.Linear(4, 2)})
    assert head.hidden == ("norm",)
    assert head.width("norm") == 4
    shorter = head.upto("norm", 7)
    assert shorter.part_names == ("pool", "norm", "logits")
    assert shorter.logits_layer.weight.shape == (7, 4)
    dense = Head({"pool": global_pool(), "fc": nn.Sequential(nn.Linear(4, 6), nn.ReLU()), "logits": nn.Linear(6, 2)})
    assert (dense.hidden, dense.width("fc"), dense.before_pool) == (("fc",), 6, ())


def test_a_convolution_before_pooling_keeps_what_pools_its_maps() -> None:
    head = pooled_head(6, 2, dropout=0.5, conv=ConvNorm(4, 6, 1))
    assert (head.hidden, head.before_pool, head.width("conv")) == (("conv",), ("conv",), 6)
    shorter = head.upto("conv", 7)
    assert shorter.part_names == ("conv", "pool", "drop", "logits")
    assert shorter.conv is head.conv
    assert shorter(torch.rand(2, 4, 3, 3)).shape == (2, 7)


def test_he_keeps_the_variance_of_gradients_and_xavier_that_of_both() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(64, 128, 3), nn.BatchNorm2d(128), nn.Linear(200, 300))
    he(net)
    assert net[0].weight.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)
    assert net[2].weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert net[0].bias.abs().sum() == net[2].bias.abs().sum() == net[1].bias.abs().sum() == 0
    xavier(net)
    assert net[0].weight.std().item() == pytest.approx((2 / ((64 + 128) * 9)) ** 0.5, rel=0.02)
    assert net[2].weight.std().item() == pytest.approx((2 / 500) ** 0.5, rel=0.02)
