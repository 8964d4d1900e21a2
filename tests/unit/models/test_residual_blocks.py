"""Units of the residual families: five orders of layers, random depth, and shaking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from striate.core.meta import shapes_only
from striate.models import REGISTRY
from striate.models.cifar_resnet import PADDED, CifarResNet, make_padded
from striate.models.resnet import BasicSpec, BottleneckSpec, Place, ResNet, ResNetSpec, unit_places
from striate.models.resnet_v2 import (
    NORM_AFTER_SUM,
    ORIGINAL,
    PREACTIVATION,
    RELU_BEFORE_SUM,
    RELU_FIRST,
    Body,
    Order,
    OrderedResidual,
    OrderedSpec,
    late,
)
from striate.models.resnext import AggregatedSpec
from striate.models.shake_shake import Shake, TwoWayShortcut
from striate.models.stochastic_depth import StochasticDepthUnitSpec
from striate.models.wide_resnet import WideBasicSpec, WideBottleneckSpec
from striate.nn.drop import StochasticDepth

ORDERS = {"a": ORIGINAL, "b": NORM_AFTER_SUM, "c": RELU_BEFORE_SUM, "d": RELU_FIRST, "e": PREACTIVATION}
BODIES = {
    "basic": BasicSpec(),
    "padded": PADDED,
    "bottleneck": BottleneckSpec(),
    "wide": WideBasicSpec(factor=3),
    "wide_bottleneck": WideBottleneckSpec(factor=2),
    "aggregated": AggregatedSpec(paths=2, path_width=32),
}
MIDDLE = Place(channels=6, width=6, index=2, total=3)

Layer = Callable[[Tensor], Tensor]


def lively(module: nn.Module) -> nn.Module:
    """In evaluation, with statistics, scales and shifts that matter."""
    generator = torch.Generator().manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor, low in ((layer.running_mean, -0.5), (layer.running_var, 0.5), (layer.weight, 0.5)):
                assert tensor is not None
                tensor.data = torch.rand(tensor.shape, generator=generator) + low
            layer.bias.data = torch.rand(layer.bias.shape, generator=generator) - 0.5
    return module.double().eval()


def built(order: Order, place: Place = MIDDLE, body: Body | None = None) -> OrderedResidual:
    torch.manual_seed(0)
    unit = lively(OrderedSpec(body=body or BasicSpec(), order=order).build(place))
    assert isinstance(unit, OrderedResidual)
    return unit


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def figure_4(column: str, x: Tensor, conv1: Layer, conv2: Layer, bn1: Layer, bn2: Layer) -> Tensor:
    """The columns of the figure, written out for an identity shortcut."""
    relu = torch.relu
    match column:
        case "a":
            return relu(x + bn2(conv2(relu(bn1(conv1(x))))))
        case "b":
            return relu(bn2(x + conv2(relu(bn1(conv1(x))))))
        case "c":
            return x + relu(bn2(conv2(relu(bn1(conv1(x))))))
        case "d":
            return x + bn2(conv2(relu(bn1(conv1(relu(x))))))
        case _:
            return x + conv2(relu(bn2(conv1(relu(bn1(x))))))


@pytest.mark.parametrize("column", ORDERS)
def test_each_order_is_its_column_of_the_figure(column: str) -> None:
    unit = built(ORDERS[column])
    norms = [layer for layer in unit.modules() if isinstance(layer, nn.BatchNorm2d)]
    convs = [layer for layer in unit.modules() if isinstance(layer, nn.Conv2d)]
    assert (len(norms), len(convs)) == (2, 2)
    x = noise(2, 6, 5, 5)
    kept = x.clone()
    found = unit(x)
    assert torch.equal(x, kept)  # no rectifier writes over what the shortcut reads
    torch.testing.assert_close(found, figure_4(column, x, *convs, *norms))
    others = [figure_4(each, x, *convs, *norms) for each in ORDERS if each != column]
    assert all(not torch.allclose(found, other) for other in others)


def test_the_original_order_is_the_residual_unit_itself() -> None:
    place = Place(channels=4, width=6, stride=2)
    for body in (BasicSpec(), BottleneckSpec()):
        mine, theirs = built(ORIGINAL, place, body), body.build(place).double().eval()
        theirs.load_state_dict(mine.state_dict())
        x = noise(2, 4, 8, 8)
        assert torch.equal(mine(x), theirs(x))


def test_the_path_of_a_preactivated_unit_is_the_identity() -> None:
    unit = built(PREACTIVATION)
    for layer in unit.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
    x = noise(2, 6, 5, 5)
    assert torch.equal(unit(x), x)


def test_a_projection_reads_what_the_convolutions_read() -> None:
    unit = built(PREACTIVATION, replace(MIDDLE, channels=3, stride=2))
    x = noise(2, 3, 8, 8)
    ready = torch.relu(unit.before.get_submodule("norm")(x))
    assert isinstance(unit.shortcut, nn.Conv2d)  # and nothing normalises it
    torch.testing.assert_close(unit(x), unit.residual(ready) + unit.shortcut(ready))


@pytest.mark.parametrize("column", "de")
def test_the_ends_of_a_network_lose_and_gain_the_first_layers(column: str) -> None:
    first, middle, last = (built(ORDERS[column], replace(MIDDLE, index=index)) for index in (1, 2, 3))
    before = middle.residual.get_submodule("before")
    assert [type(layer) for layer in before] == [type(layer) for layer in last.joined]  # pyright: ignore
    assert "before" not in dict(first.residual.named_children())
    assert len(list(first.joined.children())) == len(list(middle.joined.children())) == 0


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("column", ORDERS)
def test_every_order_serves_every_residual_network(column: str, body: str) -> None:
    torch.manual_seed(0)
    spec = ResNetSpec(unit=OrderedSpec(body=BODIES[body], order=ORDERS[column]), blocks=(2, 2), stem_width=4)
    for network in (ResNet, CifarResNet):
        model = network(spec, classes=3)
        x = torch.rand(4, 3, 32, 32)
        maps = model.forward_stages(x)
        if column != "c":  # which leaves a projected shortcut's sum as it is
            assert bool((maps[model.stages[-1]] >= 0).all())
        nn.functional.cross_entropy(model(x), torch.tensor([0, 1, 2, 0])).backward()
        assert all(each.grad is not None and bool(each.grad.any()) for each in model.stem.parameters())


def test_places_number_the_units_through_the_network() -> None:
    rows = unit_places(BottleneckSpec(), (2, 3), 8, 1e-3)
    assert [(p.channels, p.width, p.stride, p.index) for row in rows for p in row] == [
        (8, 8, 1, 1),
        (32, 8, 1, 2),
        (32, 16, 2, 3),
        (64, 16, 1, 4),
        (64, 16, 1, 5),
    ]
    assert {(place.total, place.eps) for row in rows for place in row} == {(5, 1e-3)}
    assert [[(p.index, p.stride) for p in row] for row in late(rows)] == [[(1, 1)], [(2, 2), (3, 1), (4, 1), (5, 1)]]


def test_shortcuts_are_the_identity_where_shapes_agree() -> None:
    for body in BODIES.values():
        place = Place(channels=4 * body.expansion, width=4)
        assert isinstance(body.shortcut(place, place.channels), nn.Identity)
    assert not list(make_padded(Place(channels=4, width=8, stride=2), 8).parameters())


# ---------------------------------------------------------------------- stochastic depth


def test_the_drop_path_rate_rises_linearly_with_depth() -> None:
    model = REGISTRY.get("stochastic_depth_resnet110").create()
    kept = [1 - layer.drop_path_rate for layer in model.modules() if isinstance(layer, StochasticDepth)]
    assert len(kept) == 54
    assert kept == pytest.approx([1 - l / 54 * (1 - 0.5) for l in range(1, 55)])  # noqa: E741 - the paper's letter
    assert sum(kept) == pytest.approx(40.25)  # section 3: about 40 of 54 units on average
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        StochasticDepthUnitSpec(drop_path_rate=1.0)


def test_a_unit_left_out_is_its_shortcut_and_in_evaluation_a_plain_one() -> None:
    torch.manual_seed(0)
    place = Place(channels=4, width=4, index=3, total=3)
    unit, plain = StochasticDepthUnitSpec().build(place), PADDED.build(place)
    plain.load_state_dict(unit.state_dict())
    x = torch.rand(64, 4, 5, 5)
    assert torch.equal(unit.eval()(x), plain.eval()(x))
    with torch.no_grad():
        out = unit.train()(x)
        function = plain.get_submodule("residual").train()(x)
    stayed = [
        bool(torch.allclose(o, torch.relu(i + 2 * f), atol=1e-6)) for o, i, f in zip(out, x, function, strict=True)
    ]
    left = [bool(torch.equal(o, i)) for o, i in zip(out, x, strict=True)]  # x is not negative, so its ReLU is itself
    assert all(a != b for a, b in zip(stayed, left, strict=True))
    assert 16 < sum(stayed) < 48


def test_weights_of_resnet110_load_as_they_are() -> None:
    with shapes_only():
        ours = REGISTRY.get("stochastic_depth_resnet110").create().state_dict()
        theirs = REGISTRY.get("resnet110_cifar").create().state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


# ---------------------------------------------------------------------- shake-shake


class Scaled(nn.Module):
    """A function with one number, so that its share of the gradient can be read."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


def test_shake_weights_are_drawn_per_image_and_separately_for_each_pass() -> None:
    torch.manual_seed(0)
    count = 2000
    shake = Shake(nn.Identity(), Scaled(3.0))
    x = torch.ones(count, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    out = shake(x)
    forwards = ((3 - out) / 2).flatten(1)  # out = share + 3 (1 - share)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    backwards = ((3 - gradient) / 2).flatten(1)
    for shares in (forwards, backwards):
        assert torch.allclose(shares, shares[:, :1].expand_as(shares))  # one draw an image
        one = shares[:, 0].detach()
        assert 0 <= float(one.min()) < 0.01 < 0.99 < float(one.max()) <= 1
        assert float(one.mean()) == pytest.approx(0.5, abs=0.03)
        assert float(one.var()) == pytest.approx(1 / 12, abs=0.01)  # uniform
    together = torch.stack([forwards[:, 0].detach(), backwards[:, 0]])
    assert abs(float(torch.corrcoef(together)[0, 1])) < 0.1  # independent


def test_both_functions_share_one_gradient() -> None:
    torch.manual_seed(0)
    shake = Shake(Scaled(1.0), Scaled(1.0))
    shake(torch.ones(5, 1, 1, 1, dtype=torch.float64)).sum().backward()
    parts = [scale.grad for scale in shake.parameters()]
    assert sum(float(part) for part in parts if part is not None) == pytest.approx(5)


def test_evaluation_is_the_mean() -> None:
    shake = Shake(nn.Identity(), Scaled(3.0)).eval()
    x = noise(2, 3, 4, 4)
    assert torch.equal(shake(x), shake(x))
    torch.testing.assert_close(shake(x), 2 * x)


def test_the_second_way_reads_the_pixel_that_the_first_skips() -> None:
    shortcut = TwoWayShortcut(1, 2, 2, 1e-5).eval()
    nn.init.ones_(shortcut.conv1.weight)
    nn.init.ones_(shortcut.conv2.weight)
    x = torch.arange(16.0).view(1, 1, 4, 4)
    expected = torch.tensor([[[0.0, 2], [8, 10]], [[5, 7], [13, 15]]])
    torch.testing.assert_close(shortcut(x)[0], expected / (1 + 1e-5) ** 0.5)
