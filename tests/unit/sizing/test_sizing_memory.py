"""Peak memory: equal to a count by hand, and close to what PyTorch's allocator measures."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from typer.testing import CliRunner

from striate.cli.app import app
from striate.core.errors import PlanError
from striate.models import REGISTRY, DenseModel, entries
from striate.nn.heads import pooled_head
from striate.nn.network import Network
from striate.records.io import from_json, to_json
from striate.records.sizes import SizeRecord
from striate.sizing import fits, kept_bytes, largest_batch, largest_side, peak_bytes
from striate.sizing.memory import parse_bytes

FLOAT = 4


class Small(Network):
    """Two 1x1 convolutions, so that every tensor can be counted by hand."""

    def __init__(self, *, inplace: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 1, bias=False), nn.ReLU(inplace=inplace), nn.Conv2d(8, 4, 1))
        self.head = pooled_head(4, 2)
        self.aux = nn.ModuleDict()
        self.classes = 2

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(x))


@pytest.mark.parametrize("inplace", [True, False])
@pytest.mark.parametrize("batch", [1, 3])
def test_peak_of_a_forward_pass_equals_a_count_by_hand(inplace: bool, batch: int) -> None:
    model, pixels = Small(inplace=inplace), batch * 16 * 16
    parameters = 8 + 32 + 4 + 8 + 2
    # in place: the image, 8 maps and 4 maps; otherwise the image and twice 8 maps
    widest = 1 + 8 + 4 if inplace else 1 + 8 + 8
    assert peak_bytes(model, (1, 16, 16), batch=batch) == FLOAT * (parameters + pixels * widest)


def test_training_includes_gradients_and_optimiser_state() -> None:
    model = REGISTRY.get("resnet20_cifar").create()
    parameters = FLOAT * sum(each.numel() for each in model.parameters())
    plain, momentum, adam = (
        peak_bytes(model, (3, 32, 32), training=True, optimiser=name) for name in ("sgd", "momentum", "adam")
    )
    assert momentum - plain == parameters
    assert adam - plain == 2 * parameters
    assert plain > peak_bytes(model, (3, 32, 32)) + parameters
    frozen = peak_bytes(model.freeze("stage2"), (3, 32, 32), training=True)
    assert frozen < 0.7 * momentum
    with pytest.raises(PlanError, match="use sgd, momentum, adam"):
        peak_bytes(model, (3, 32, 32), training=True, optimiser="lion")


def test_the_network_does_not_change() -> None:
    model = REGISTRY.get("resnet20_cifar").create().train()
    before = copy.deepcopy(model.state_dict())
    fits(model, (3, 32, 32), "64MB")
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("memory", ["3MB", "10MB", "64MiB", "2GB"])
def test_largest_batch_fits_and_one_more_image_does_not(memory: str, training: bool) -> None:
    model = REGISTRY.get("lenet5").create()
    batch = largest_batch(model, (1, 32, 32), memory, training=training)
    assert batch > 1
    assert peak_bytes(model, (1, 32, 32), batch=batch, training=training) <= parse_bytes(memory)
    assert peak_bytes(model, (1, 32, 32), batch=batch + 1, training=training) > parse_bytes(memory)


def test_nothing_fits_into_less_than_the_parameters() -> None:
    model = REGISTRY.get("lenet5").create()
    assert largest_batch(model, (1, 32, 32), "200KB") == 0
    assert largest_side(model, 1, "200KB") == 0


@pytest.mark.parametrize("training", [False, True])
def test_largest_side_fits_and_a_slightly_larger_one_does_not(training: bool) -> None:
    entry = REGISTRY.get("unet")
    model = entry.build(entry.tiny, classes=2, in_channels=1)
    assert isinstance(model, DenseModel)
    side = largest_side(model, 1, "40MB", training=training)
    assert (side - model.min_side) % model.side_step == 0
    assert peak_bytes(model, (1, side, side), training=training) <= 40e6
    more = side + max(1, side // 32 // model.side_step) * model.side_step
    assert peak_bytes(model, (1, more, more), training=training) > 40e6


def test_largest_side_respects_a_fixed_input_size() -> None:
    model = REGISTRY.get("mlp").create()
    assert largest_side(model, 1, "8GB") == model.max_side


@pytest.mark.parametrize(
    ("text", "amount"),
    [("8GB", 8 * 10**9), ("8 GiB", 8 * 2**30), ("1.5m", 1_500_000), ("512kib", 512 * 1024), (1000, 1000), ("77", 77)],
)
def test_parse_bytes(text: str | int, amount: int) -> None:
    assert parse_bytes(text) == amount


@pytest.mark.parametrize("text", ["", "0GB", "-1GB", "eight", "8GBs", "1e9"])
def test_parse_bytes_refuses_other_text(text: str) -> None:
    with pytest.raises(PlanError, match="is not a memory size"):
        parse_bytes(text)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "vgg11", "unet"])
def test_kept_bytes_equals_what_autograd_saves(name: str) -> None:
    entry = REGISTRY.get(name)
    model = entry.build(entry.tiny, classes=3, in_channels=3).train()
    side = max(model.min_side, 32)
    side += (model.min_side - side) % model.side_step
    x = torch.rand(2, 3, side, side)
    ours = {each.untyped_storage()._cdata for each in [x, *model.parameters(), *model.buffers()]}
    kept: dict[int, int] = {}
    alive = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        alive.append(tensor)
        if storage._cdata not in ours:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = model(x)
    found = kept_bytes(model, (3, side, side), batch=2)
    assert tuple(found) == (*model.stages, "head")
    # the loss saves the logits and a little more; kernels save a few bytes
    assert sum(found.values()) == pytest.approx(sum(kept.values()), abs=3 * logits.nbytes + 64)


@pytest.mark.parametrize("entry", {entry.family: entry for entry in entries()}.values(), ids=lambda entry: entry.family)
def test_peak_bytes_of_every_family(entry) -> None:
    model = entry.build(entry.tiny, classes=3, in_channels=3)
    side = model.max_side or max(model.min_side, 32)
    side += (model.min_side - side) % model.side_step
    forward, training = (peak_bytes(model, (3, side, side), batch=2, training=each) for each in (False, True))
    parameters = sum(each.nbytes for each in model.parameters())
    assert parameters < forward < training
    assert training > 3 * parameters - sum(each.nbytes for each in model.aux.parameters()) * 3


def test_show_prints_the_memory_estimates() -> None:
    result = CliRunner().invoke(app, ["show", "lenet5", "--memory", "64MB"])
    assert result.exit_code == 0, result.output
    assert "Estimates for 64 MB of memory" in result.output
    result = CliRunner().invoke(app, ["show", "lenet5", "--memory", "64MB", "--json"])
    record = from_json(SizeRecord, json.loads(result.stdout))
    assert to_json(record) == json.loads(result.stdout)
    assert record.memory is not None
    assert record.memory.forward.largest_batch > record.memory.training.largest_batch > 1
    wrong = CliRunner().invoke(app, ["show", "lenet5", "--memory", "lots"])
    assert wrong.exit_code == 1
    assert "is not a memory size" in wrong.stderr


# ---------------------------------------------------------------------- against the allocator


def allocated(run: Callable[[], object]) -> int:
    """Peak bytes that PyTorch's allocator added during a run, from its profiler events."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    assert profiler.profiler is not None
    events = [each for each in profiler.profiler.kineto_results.events() if each.name() == "[memory]"]
    current = peak = 0
    for event in sorted(events, key=lambda each: each.start_ns()):
        current += event.nbytes()
        peak = max(peak, current)
    return peak


def check_against_the_allocator(name: str, batch: int, side: int) -> None:
    model = REGISTRY.get(name).create(classes=10)
    shape = (model.in_channels, side, side)
    x, labels = torch.rand(batch, *shape), torch.zeros(batch, dtype=torch.int64)
    before = sum(each.nbytes for each in [x, *model.parameters(), *model.buffers()])

    def forward() -> None:
        with torch.no_grad():
            model(x)

    model.eval()
    forward()  # allocations that stay after the first run do not count
    found = {"forward": before + allocated(forward)}
    optimiser = torch.optim.SGD(model.train().parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        nn.functional.cross_entropy(model(x), labels).backward()
        optimiser.step()

    step()
    optimiser.zero_grad()
    state = sum(each.nbytes for each in model.parameters())
    found["training"] = before + state + allocated(step)
    for mode, measured in found.items():
        estimated = peak_bytes(model, shape, batch=batch, training=mode == "training")
        error = estimated / measured - 1
        print(f"{name} {mode}: estimated {estimated / 1e6:.1f} MB, measured {measured / 1e6:.1f} MB, {error:+.1%}")
        assert abs(error) < 0.1, (name, mode)


def test_estimate_matches_the_allocator() -> None:
    check_against_the_allocator("resnet20_cifar", 16, 32)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "vgg11", "densenet121", "convnext_tiny"])
def test_estimate_matches_the_allocator_on_large_networks(name: str) -> None:
    check_against_the_allocator(name, 4, 96)
