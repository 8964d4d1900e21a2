"""Modules that branch: GoogLeNet's and those after it, each alone, and the classifiers beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn

from striate.core.errors import PlanError
from striate.core.meta import shapes_only
from striate.models import REGISTRY, ImageModel
from striate.models.googlenet import (
    TABLE_1,
    AuxiliarySpec,
    BiasedSpec,
    Branches,
    NaiveSpec,
    NormalisedSpec,
    ReducedSpec,
    Row,
)
from striate.models.inception_resnet_v2 import ScaledResidual
from striate.models.inception_v3 import Average, Conv, Fork, InceptionV3Spec, Pool, branch, module
from striate.models.registry import with_options
from striate.models.se_inception import GatedSpec
from striate.models.xception import SeparableUnit, Unit
from striate.nn.gate import SqueezeExcite
from striate.nn.pool import PoolPadding
from striate.sizing import measure
from striate.weights import load_state_dict

ROW = Row(one=3, reduce3=2, three=5, reduce5=2, five=4, pooled=6)


def tiny(name: str, **options: object) -> ImageModel:
    entry = REGISTRY.get(name)
    torch.manual_seed(0)
    return entry.build(with_options(entry.tiny, options), classes=3, in_channels=3).eval()


@pytest.mark.parametrize(
    "unit", [NaiveSpec(), ReducedSpec(), ReducedSpec(large=3), GatedSpec(unit=NaiveSpec(), reduction=4)]
)
@pytest.mark.parametrize("layer", [BiasedSpec(), NormalisedSpec()])
def test_a_module_gives_the_width_it_says_and_keeps_the_resolution(unit: NaiveSpec, layer: BiasedSpec) -> None:
    module = unit.build(7, ROW, layer)
    assert module(torch.randn(2, 7, 9, 11)).shape == (2, unit.width(7, ROW), 9, 11)


def test_the_naive_module_passes_its_input_on_and_the_reduced_one_does_not() -> None:
    x = torch.randn(2, 7, 8, 8)
    naive = NaiveSpec().build(7, ROW, BiasedSpec())
    assert NaiveSpec().width(7, ROW) == 3 + 5 + 4 + 7
    assert torch.equal(naive(x)[:, -7:], nn.functional.max_pool2d(x, 3, 1, 1))
    assert ReducedSpec().width(7, ROW) == 3 + 5 + 4 + 6


def test_branches_are_in_order_and_get_the_same_maps() -> None:
    x = torch.randn(1, 2, 4, 4)
    assert torch.equal(Branches(nn.Identity(), nn.ReLU())(x), torch.cat([x, x.relu()], 1))


def test_the_reductions_are_what_makes_module_3a_affordable() -> None:
    """Table 1: 159 thousand weights and 128 million multiply-adds; without reductions, three times as many or more."""
    row, channels = TABLE_1[0][0], 192
    counts = {}
    for unit in (NaiveSpec(), ReducedSpec()):
        module = unit.build(channels, row, BiasedSpec())
        counts[unit] = sum(each.weight.numel() for each in module.modules() if isinstance(each, nn.Conv2d))
    assert counts[ReducedSpec()] == 64 * 192 + 192 * 96 + 96 * 128 * 9 + 192 * 16 + 16 * 32 * 25 + 192 * 32
    assert counts[NaiveSpec()] == 192 * (64 + 128 * 9 + 32 * 25)
    assert counts[NaiveSpec()] > 2 * counts[ReducedSpec()]


def test_a_whole_network_of_naive_modules_is_wider_with_every_module() -> None:
    with shapes_only():
        naive = REGISTRY.get("googlenet_paper").create(options={"unit": NaiveSpec()})
        reduced = REGISTRY.get("googlenet_paper").create()
    grown = sum(row.one + row.three + row.five for rows in TABLE_1 for row in rows)
    assert naive.stage_table[-1].channels == 192 + grown
    dear, cheap = (measure(each, (3, 224, 224)).totals for each in (naive, reduced))
    assert dear.macs > 7 * cheap.macs
    assert dear.params > 13 * cheap.params


def test_a_gate_follows_every_module() -> None:
    gates = [each for each in tiny("se_inception").modules() if isinstance(each, SqueezeExcite)]
    assert len(gates) == 3
    with shapes_only():
        whole = REGISTRY.get("se_inception").create()
    assert [each.fc1.out_channels for each in whole.modules() if isinstance(each, SqueezeExcite)] == [
        width // 16 for width in (256, 480, 512, 512, 512, 528, 832, 832, 1024)
    ]


def test_both_branches_of_a_fork_get_the_same_maps() -> None:
    part, width = branch(3, (Conv(5), Fork(Conv(4, (1, 3)), Conv(2, (3, 1)))), eps=1e-3, average="window")
    x = torch.randn(2, 3, 6, 7)
    conv, fork = part.eval().children()
    left, right = fork.children()
    assert width == 6
    assert torch.equal(part(x), torch.cat([left(conv(x)), right(conv(x))], 1))


def test_averages_at_the_edge_are_over_the_window_or_over_the_image() -> None:
    x = torch.ones(1, 1, 5, 5)
    results = {each: branch(1, (Pool(1),), eps=1e-3, average=each)[0](x) for each in get_args(Average)}
    assert torch.equal(results["image"], x)
    corner, edge = results["window"][0, 0, 0, :2]
    assert (corner.item(), edge.item()) == pytest.approx((4 / 9, 6 / 9))
    assert torch.equal(results["window"][..., 1:-1, 1:-1], x[..., 1:-1, 1:-1])


def test_every_module_of_a_kind_gives_the_width_of_the_table() -> None:
    expected = {"stage2": (256, 288, 288), "stage3": (768,) * 5, "stage4": (1280, 2048, 2048)}
    for (name, widths), modules in zip(expected.items(), InceptionV3Spec().modules, strict=True):
        channels = {"stage2": 192, "stage3": 288, "stage4": 768}[name]
        for rows, width in zip(modules, widths, strict=True):
            with shapes_only():
                channels = module(channels, rows, eps=1e-3, average="window")[1]
            assert channels == width


def test_a_residual_is_scaled_before_it_is_added() -> None:
    unit = ScaledResidual(4, ((Conv(2),), (Conv(2), Conv(3, 3))), scale=0.25, eps=1e-3, act=nn.Identity()).eval()
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(unit(x) - x, unit.up(unit.branches(x)) / 4)
    with shapes_only():
        whole = REGISTRY.get("inception_resnet_v2").create()
    units = [each for each in whole.modules() if isinstance(each, ScaledResidual)]
    assert [each.scale for each in units] == [0.17] * 10 + [0.1] * 20 + [0.2] * 9 + [1.0]
    assert [isinstance(each.act, nn.ReLU) for each in units] == [True] * 39 + [False]


@pytest.mark.parametrize("padding", get_args(PoolPadding))
@pytest.mark.parametrize("side", [8, 9])
def test_a_separable_unit_adds_the_output_of_its_shortcut(side: int, padding: PoolPadding) -> None:
    x = torch.randn(2, 3, side, side)
    before = x.clone()
    unit = SeparableUnit(3, Unit((4, 5), 2), rectified=True, padding=padding, eps=1e-3).eval()
    assert unit(x).shape == (2, 5, 4 + side % 2, 4 + side % 2)
    torch.testing.assert_close(unit(x), unit.residual(x) + unit.shortcut(x))
    plain = SeparableUnit(3, Unit((4, 3)), rectified=True, padding=padding, eps=1e-3).eval()
    torch.testing.assert_close(plain(x), plain.residual(x) + x)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    "name", ["googlenet", "googlenet_paper", "se_inception", "inception_v3", "inception_resnet_v2", "xception"]
)
def test_no_smaller_image_would_do(name: str) -> None:
    with shapes_only():
        model = REGISTRY.get(name).create().eval()
        model.min_side -= 1  # the check asleep, so that the layers answer for themselves
        with pytest.raises(RuntimeError):
            model(torch.empty(1, 3, model.min_side, model.min_side))


# ---------------------------------------------------------------------- auxiliary classifiers

AUX = {"googlenet": {"stage2.unit1", "stage3.unit1"}, "inception_v3": {"stage3"}}


@pytest.mark.parametrize("name", AUX)
def test_auxiliary_classifiers_are_separate_from_the_network(name: str) -> None:
    plain, model = tiny(name, aux=None), tiny(name)
    model.load_state_dict(plain.state_dict(), strict=False)
    x = torch.rand(2, 3, model.aux_side, model.aux_side)
    logits, aux = model.train().forward_with_aux(x)
    assert {tap: each.shape for tap, each in aux.items()} == dict.fromkeys(AUX[name], (2, 3))
    assert model(x).shape == logits.shape == (2, 3)
    assert [*model.parameter_stages()][-2:] == ["head", "aux"]
    model.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(model.eval()(x), plain(x))
    totals = measure(model, tuple(x.shape[1:])).totals
    assert totals.aux_params > 0
    assert replace(totals, aux_params=0) == measure(plain, tuple(x.shape[1:])).totals


@pytest.mark.parametrize("name", AUX)
def test_new_classes_reach_auxiliary_classifiers_too(name: str) -> None:
    model = tiny(name)
    model.replace_head(7)
    logits, aux = model.forward_with_aux(torch.rand(2, 3, model.aux_side, model.aux_side))
    assert {each.shape for each in (logits, *aux.values())} == {(2, 7)}
    state = tiny(name).state_dict()
    record = load_state_dict(model, state, replace_head=True)
    assert set(record.skipped) == {each for each in state if ".logits." in each}
    assert len(record.skipped) == 2 * (1 + len(aux))


def test_the_auxiliary_classifier_takes_the_images_the_paper_has() -> None:
    with shapes_only():
        model = REGISTRY.get("inception_v3").create().eval()
        assert (model.min_side, model.aux_side) == (75, 299)
        assert model.forward_with_aux(torch.empty(1, 3, 299, 299))[1]["stage3"].shape == (1, 1000)


def test_auxiliary_classifiers_can_be_left_out() -> None:
    with shapes_only():
        assert not REGISTRY.get("googlenet").create(options={"aux": None}).aux
    with pytest.raises(PlanError, match="option 'unit' cannot be None"):
        REGISTRY.get("googlenet").create(options={"unit": None})


def test_published_classifiers_are_as_large_as_published() -> None:
    """GoogLeNet's two as in the model that Caffe's makers published, Inception v3's as in torchvision's."""
    with shapes_only():
        v3 = REGISTRY.get("inception_v3").create()
        model = REGISTRY.get("googlenet_paper").create()
    assert sum(each.numel() for each in model.parameters()) == 13378280
    assert sum(each.numel() for each in v3.parameters()) == 27161264
    assert measure(model, (3, 224, 224)).totals.params == 6998552


def test_a_tap_that_is_no_module_is_named() -> None:
    with pytest.raises(PlanError, match=r"tap modules \(stage2\.unit1, .*; got \('stage9\.unit1',\)"):
        REGISTRY.get("googlenet").create(options={"aux": AuxiliarySpec(taps=("stage9.unit1",))})
