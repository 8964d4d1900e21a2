"""The parts of EfficientNet and ConvNeXt, against what their papers write."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from striate.core.meta import shapes_only
from striate.models import REGISTRY
from striate.models.convnext import ConvNeXt, ConvNeXtSpec, LayerScale
from striate.models.convnext_v2 import GlobalResponseNorm
from striate.models.efficientnet import TINY, EfficientNet, MBConv
from striate.models.efficientnet_lite import EfficientNetLiteSpec
from striate.nn.drop import StochasticDepth
from striate.nn.norm import ChannelNorm


def rates(model: torch.nn.Module) -> list[float]:
    return [layer.drop_path_rate for layer in model.modules() if isinstance(layer, StochasticDepth)]


def test_channel_norm_normalises_each_position_separately() -> None:
    norm = ChannelNorm(6, eps=1e-6)
    torch.nn.init.uniform_(norm.weight)
    torch.nn.init.uniform_(norm.bias)
    x = torch.randn(2, 6, 3, 5)
    expected = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, correction=0) + 1e-6).sqrt()
    torch.testing.assert_close(norm(x), expected * norm.weight[:, None, None] + norm.bias[:, None, None])


def test_global_response_norm_is_algorithm_1() -> None:
    norm = GlobalResponseNorm(4).double()
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    assert torch.equal(norm(x), x), "at first it changes nothing"
    torch.nn.init.uniform_(norm.weight)
    torch.nn.init.uniform_(norm.bias)
    length = x.pow(2).sum((1, 2), keepdim=True).sqrt()
    scaled = x * length / (length.mean(-1, keepdim=True) + 1e-6)
    torch.testing.assert_close(norm(x), norm.weight * scaled + norm.bias + x)


def test_a_block_of_convnext_begins_near_the_identity() -> None:
    model = ConvNeXt(ConvNeXtSpec(blocks=(1,), width=8, drop_path_rate=0.0), classes=2).eval()
    x = torch.randn(1, 8, 9, 9)
    block = model.get_submodule("stage1.unit1")
    assert 0 < (block(x) - x).abs().max() < 1e-4
    scale = block.get_submodule("mlp.scale")
    assert isinstance(scale, LayerScale)
    torch.testing.assert_close(scale.weight, torch.full((8,), 1e-6))


def test_convnext_drop_path_rate_rises_from_0_to_that_of_the_last_block() -> None:
    model = ConvNeXt(ConvNeXtSpec(blocks=(2, 3), width=4, drop_path_rate=0.4), classes=2)
    assert rates(model) == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_efficientnet_drops_only_where_there_is_a_shortcut() -> None:
    model = EfficientNet(TINY, classes=2)
    units = [unit for unit in model.modules() if isinstance(unit, MBConv)]
    assert [unit.adds for unit in units] == [True, False, True, False, False, False]
    evenly = [0.2 * index / len(units) for index in range(len(units))]
    assert rates(model) == pytest.approx([rate if unit.adds else 0.0 for unit, rate in zip(units, evenly, strict=True)])


def test_mbconv_squeezes_to_a_quarter_of_what_comes_in_and_keeps_its_input() -> None:
    unit = EfficientNet(TINY, classes=2).eval().get_submodule("stage1.unit2")
    assert isinstance(unit, MBConv)
    gate = unit.residual.get_submodule("gate")
    assert [tuple(each.shape) for each in gate.parameters()] == [(2, 16, 1, 1), (2,), (16, 2, 1, 1), (16,)]
    x = torch.randn(2, 8, 7, 7)
    before = x.clone()
    out = unit(x)
    assert torch.equal(x, before)
    torch.testing.assert_close(out - unit.residual(x), x)


@pytest.mark.parametrize(("number", "side", "width"), [(0, 224, 1280), (4, 380, 1792), (7, 600, 2560)])
def test_efficientnets_have_images_and_widths_of_their_own(number: int, side: int, width: int) -> None:
    for prefix in ("", "tf_"):
        entry = REGISTRY.get(f"{prefix}efficientnet_b{number}")
        assert entry.input == (3, side, side)
        with shapes_only():
            assert entry.create().head.width("conv") == width


def test_padding_of_tensorflow_matters_on_even_images_alone() -> None:
    torch.manual_seed(0)
    ours, theirs = (REGISTRY.get(name).create(classes=3).eval() for name in ("efficientnet_b0", "tf_efficientnet_b0"))
    theirs.load_state_dict(ours.state_dict())
    odd, even = torch.randn(1, 3, 65, 97), torch.randn(1, 3, 64, 96)  # sides stay odd, or even, down to the last
    stems = [model.get_submodule("stem.conv.conv") for model in (ours, theirs)]
    torch.testing.assert_close(stems[0](odd), stems[1](odd))
    assert not torch.allclose(stems[0](even), stems[1](even))
    padded = F.pad(even, (0, 1, 0, 1))
    weight = stems[0].weight
    assert isinstance(weight, torch.Tensor)
    torch.testing.assert_close(stems[1](even), F.conv2d(padded, weight, stride=2))


@pytest.mark.parametrize(("number", "units"), [(0, 16), (1, 21), (2, 21), (3, 24), (4, 30)])
def test_scaling_leaves_the_ends_of_efficientnet_lite_alone(number: int, units: int) -> None:
    with shapes_only():
        model = REGISTRY.get(f"efficientnet_lite{number}").classifier()
    blocks = [unit for unit in model.modules() if isinstance(unit, MBConv)]
    assert len(blocks) == units
    assert tuple(model.get_submodule("stem.conv.conv").weight.shape) == (32, 3, 3, 3)
    assert model.head.logits_layer.in_features == 1280
    assert not any("gate" in name for name, _ in model.named_modules())
    assert {type(layer) for layer in model.modules()} & {nn.SiLU, nn.ReLU, nn.ReLU6} == {nn.ReLU6}


def test_the_first_and_the_last_row_of_efficientnet_lite_keep_their_number_of_units() -> None:
    spec = EfficientNetLiteSpec(depth=1.8)
    assert [spec.units(number) for number in range(len(spec.rows))] == [1, 4, 4, 6, 6, 8, 1]
