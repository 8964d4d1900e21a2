"""measure does not change the network, and counts everything once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.core.errors import PlanError
from striate.core.meta import shapes_only
from striate.models import REGISTRY
from striate.nn.heads import pooled_head
from striate.nn.network import Network
from striate.records.io import from_json, to_json
from striate.records.sizes import SizeRecord
from striate.sizing import measure


class Small(Network):
    """One convolution that runs twice, and an auxiliary head that does not run."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.head = pooled_head(3, 2)
        self.aux = nn.ModuleDict({"conv": nn.Linear(3, 2)})
        self.classes = 2

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(self.conv(x)))


def test_the_network_does_not_change() -> None:
    model = REGISTRY.get("resnet20_cifar").create().train()
    model.stage1.eval()
    modes = [module.training for module in model.modules()]
    before = {name: (value.data_ptr(), value.clone()) for name, value in model.state_dict().items()}
    measure(model, (3, 32, 32))
    assert [module.training for module in model.modules()] == modes
    for name, value in model.state_dict().items():
        assert value.data_ptr() == before[name][0]
        assert torch.equal(value, before[name][1])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_module_that_runs_twice_counts_its_parameters_once_and_its_macs_twice() -> None:
    totals = measure(Small(), (3, 8, 8)).totals
    assert totals.weights == 81 + 6
    assert totals.params == 84 + 8  # without the auxiliary head
    assert totals.macs == 2 * 64 * 81 + 6
    assert totals.units == 2 * 64 * 3 + 2
    assert totals.receptive_field == (5, 5)


class ConcatenatedAndSliced(Network):
    """Two concatenated convolutions, and a slice of their channels."""

    def __init__(self, kept: slice) -> None:
        super().__init__()
        self.near = nn.Conv2d(3, 3, 3, padding=1)
        self.far = nn.Conv2d(3, 4, 7, padding=3)
        self.kept = kept
        self.aux = nn.ModuleDict()
        self.head = pooled_head(len(range(7)[kept]), 2)
        self.classes = 2

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.cat((self.near(x), self.far(x)), 1)[:, self.kept])


@pytest.mark.parametrize(
    ("kept", "side"),
    [(slice(0, 3), 3), (slice(0, 4), 7), (slice(2, 7), 7), (slice(-4, None), 7), (slice(0, 3, 2), 7), (slice(1, 2), 3)],
)
def test_slices_of_concatenated_maps_keep_their_receptive_fields(kept: slice, side: int) -> None:
    assert measure(ConcatenatedAndSliced(kept), (3, 16, 16)).totals.receptive_field == (side, side)


def test_frozen_parameters_count_and_half_precision_halves_the_bytes() -> None:
    model = REGISTRY.get("lenet5").create()
    whole = measure(model, (1, 32, 32)).totals
    half = measure(model.freeze("stage2").half(), (1, 32, 32)).totals
    assert half.params == whole.params == 61706
    assert 2 * half.activation_bytes == whole.activation_bytes


def test_a_huge_image_takes_no_memory() -> None:
    with shapes_only():
        model = REGISTRY.get("vgg19").create()
    totals = measure(model, (3, 100_000, 100_000)).totals
    assert totals.activation_bytes > 10**12
    assert totals.receptive_field == (268, 268)


def test_a_module_that_is_not_a_network() -> None:
    with pytest.raises(PlanError, match="Conv2d is not a network of Striate"):
        measure(nn.Conv2d(3, 3, 3), (3, 8, 8))


def test_record_round_trips_through_json() -> None:
    record = measure(REGISTRY.get("lenet5").create(), (1, 32, 32), name="lenet5")
    assert from_json(SizeRecord, to_json(record)) == record
