"""What sizing says a position sees is what its gradient reaches: for every family, at what enters the head."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import checks
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from striate.models import DenseModel, Entry, StagedModel, entries
from striate.sizing import measure

FAMILIES = {entry.family: entry for entry in entries()}
ACTIVATIONS = {"relu", "relu_", "relu6", "silu", "gelu", "hardtanh", "leaky_relu", "sigmoid", "tanh"}
GLOBAL = {"adaptive_avg_pool2d", "mean", "norm", "vector_norm", "linalg_vector_norm"}


class Linear(TorchFunctionMode):
    """Lets every gradient through: no unit is off, a maximum reaches all of its window, global gates are constants."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if name in ACTIVATIONS:
            return args[0]
        if name == "group_norm":  # statistics of the whole map are left out, as global gates are
            return args[0] * kwargs["weight"][:, None, None]
        if name == "max_pool2d":
            given = dict(zip(("kernel_size", "stride", "padding", "dilation", "ceil_mode"), args[1:], strict=False))
            given |= kwargs
            given.pop("dilation", None), given.pop("return_indices", None)
            return nn.functional.avg_pool2d(args[0], **given)
        if name == "pad" and kwargs.get("value") == -math.inf:
            kwargs["value"] = 0.0
        result = func(*args, **kwargs)
        return result.detach() if name in GLOBAL else result


def prepared(entry: Entry) -> StagedModel:
    model = checks.build(entry).double().eval()
    for parameter in model.parameters():
        if parameter.ndim > 1 or not parameter.any():
            nn.init.normal_(parameter, std=0.3)
    return model


def support(run: Callable[[Tensor], Tensor], x: Tensor, axis: int, places: range) -> list[tuple[int, int]]:
    """First and last row (axis 2) or column (axis 3) of the pixels that positions of a map depend on."""
    found = []
    with Linear():
        x = x.requires_grad_()
        maps = run(x)
        for place in places:
            (gradient,) = torch.autograd.grad(maps.select(axis, place).sum(), x, retain_graph=True)
            seen = gradient.abs().sum(dim=(0, 1, 5 - axis)).nonzero()
            found.append((int(seen.min()), int(seen.max())))
    return found


def side_at_least(model: StagedModel, pixels: int) -> int:
    if model.max_side is not None:
        return model.max_side
    return model.min_side + max(0, math.ceil((pixels - model.min_side) / model.side_step)) * model.side_step


@pytest.mark.parametrize("axis", [2, 3], ids=["rows", "columns"])
@pytest.mark.parametrize("family", FAMILIES)
def test_receptive_fields_at_the_head_match_sizing(family: str, axis: int) -> None:
    model = prepared(FAMILIES[family])
    short = side_at_least(model, 1)
    totals = measure(model, (3, side_at_least(model, 32), side_at_least(model, 32))).totals
    assert totals.receptive_field is not None
    assert totals.stride is not None
    size, stride = totals.receptive_field[axis - 2], totals.stride[axis - 2]
    long = side_at_least(model, size + 4 * stride)
    x = torch.rand(1, 3, *((long, short) if axis == 2 else (short, long)), dtype=torch.float64)
    last = model.stages[-1]

    def run(x: Tensor) -> Tensor:
        return model.forward_stages(x, keep=[last])[last]

    count = run(x).shape[axis]
    middle = count // 2
    places = range(middle, min(middle + 2, count))
    here, *there = support(run, x, axis, places)
    if model.max_side is None:
        assert here[0] > 0
        assert here[1] < long - 1
        assert there[0][0] - here[0] == stride
    assert here[1] - here[0] + 1 == size


@pytest.mark.parametrize("family", [family for family, entry in FAMILIES.items() if entry.task == "segment"])
def test_receptive_fields_after_upsampling_match_sizing(family: str) -> None:
    """Neighbours do not all see as many pixels; the most is what is said."""
    model = prepared(FAMILIES[family])
    assert isinstance(model, DenseModel)
    short = side_at_least(model, 1)
    row = measure(model, (3, short, short)).layers[-1]
    assert row.receptive_field is not None
    assert row.stride == (1, 1)
    period = model.stage_table[-1].reduction
    long = side_at_least(model, row.receptive_field[0] + 4 * period)
    x = torch.rand(1, 3, long, short, dtype=torch.float64)
    first = (long - 2 * model.margin) // 2 - period // 2
    seen = support(model, x, 2, range(first, first + period))
    assert min(left for left, _ in seen) > 0
    assert max(right for _, right in seen) < long - 1
    assert max(right - left + 1 for left, right in seen) == row.receptive_field[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layer_of_a_network_has_a_receptive_field(family: str) -> None:
    model = checks.build(FAMILIES[family])
    side = checks.side_of(model)
    unknown = [(row.name, row.type) for row in measure(model, (3, side, side)).layers if row.receptive_field is None]
    assert unknown == []
