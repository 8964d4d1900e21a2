"""Random depth and gates."""

from __future__ import annotations

import pytest
import torch

from striate.nn.drop import StochasticDepth, linear_drop_path
from striate.nn.gate import SqueezeExcite


def test_each_image_draws_for_itself_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    drop = StochasticDepth(0.2)
    out = drop(torch.ones(4000, 2, 3, 3)).flatten(1)
    assert bool((out == out[:, :1]).all())  # a whole image at a time
    assert sorted(out.unique().tolist()) == pytest.approx([0, 1.25])
    assert float(out.mean()) == pytest.approx(1, abs=0.03)
    x = torch.rand(3, 2)
    assert drop.eval()(x) is x


def test_the_learning_rate_rises_linearly() -> None:
    assert linear_drop_path(0.5, 54)[0] == pytest.approx(0.5 / 54)
    assert linear_drop_path(0.5, 54)[-1] == 0.5
    with pytest.raises(ValueError, match="below 1"):
        StochasticDepth(1.0)


def test_a_gate_scales_each_map_by_a_function_of_all_maps() -> None:
    torch.manual_seed(0)
    gate = SqueezeExcite(6, 2)
    x = torch.randn(2, 6, 5, 4)
    means = x.mean((2, 3))
    hidden = torch.relu(means @ gate.fc1.weight.flatten(1).T + gate.fc1.bias)
    factors = torch.sigmoid(hidden @ gate.fc2.weight.flatten(1).T + gate.fc2.bias)
    assert torch.allclose(gate(x), x * factors[:, :, None, None], atol=1e-6)
