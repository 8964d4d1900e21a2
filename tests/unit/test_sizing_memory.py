"""What fits into a memory: exact where it can be counted by hand, and near what the allocator counts."""

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
from striate.sizing.memory import amount_bytes

FLOAT = 4


class Small(Network):
    """Two convolutions of one pixel; every tensor can be counted."""

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
def test_a_forward_pass_holds_what_is_alive_at_its_widest(inplace: bool, batch: int) -> None:
    model, pixels = Small(inplace=inplace), batch * 16 * 16
    parameters = 8 + 32 + 4 + 8 + 2
    # in place: the image, 8 maps and 4 maps; else the image and 8 maps twice
    widest = 1 + 8 + 4 if inplace else 1 + 8 + 8
    assert peak_bytes(model, (1, 16, 16), batch=batch) == FLOAT * (parameters + pixels * widest)


def test_training_holds_gradients_and_the_optimisers_state() -> None:
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
    with pytest.raises(PlanError, match="there are sgd, momentum, adam"):
        peak_bytes(model, (3, 32, 32), training=True, optimiser="lion")


def test_the_network_is_left_alone() -> None:
    model = REGISTRY.get("resnet20_cifar").create().train()
    before = copy.deepcopy(model.state_dict())
    fits(model, (3, 32, 32), "64MB")
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("memory", ["3MB", "10MB", "64MiB", "2GB"])
def test_the_largest_batch_fits_and_one_more_does_not(memory: str, training: bool) -> None:
    model = REGISTRY.get("lenet5").create()
    batch = largest_batch(model, (1, 32, 32), memory, training=training)
    assert batch > 1
    assert peak_bytes(model, (1, 32, 32), batch=batch, training=training) <= amount_bytes(memory)
    assert peak_bytes(model, (1, 32, 32), batch=batch + 1, training=training) > amount_bytes(memory)


def test_nothing_fits_into_less_than_the_parameters() -> None:
    model = REGISTRY.get("lenet5").create()
    assert largest_batch(model, (1, 32, 32), "200KB") == 0
    assert largest_side(model, 1, "200KB") == 0


@pytest.mark.parametrize("training", [False, True])
def test_the_largest_side_fits_and_a_little_more_does_not(training: bool) -> None:
    entry = REGISTRY.get("unet")
    model = entry.build(entry.tiny, classes=2, in_channels=1)
    assert isinstance(model, DenseModel)
    side = largest_side(model, 1, "40MB", training=training)
    assert (side - model.min_side) % model.side_step == 0
    assert peak_bytes(model, (1, side, side), training=training) <= 40e6
    more = side + max(1, side // 32 // model.side_step) * model.side_step
    assert peak_bytes(model, (1, more, more), training=training) > 40e6


def test_a_network_of_one_size_takes_no_larger_image() -> None:
    model = REGISTRY.get("mlp").create()
    assert largest_side(model, 1, "8GB") == model.max_side


@pytest.mark.parametrize(
    ("text", "amount"),
    [("8GB", 8 * 10**9), ("8 GiB", 8 * 2**30), ("1.5m", 1_500_000), ("512kib", 512 * 1024), (1000, 1000), ("77", 77)],
)
def test_amounts_of_memory(text: str | int, amount: int) -> None:
    assert amount_bytes(text) == amount


@pytest.mark.parametrize("text", ["", "0GB", "-1GB", "eight", "8GBs", "1e9"])
def test_nonsense_amounts_are_refused(text: str) -> None:
    with pytest.raises(PlanError, match="no amount of memory"):
        amount_bytes(text)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "vgg11", "unet"])
def test_what_autograd_keeps_is_what_it_keeps_of_real_tensors(name: str) -> None:
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
    # the loss keeps logits and a little more; kernels keep a few bytes of their own
    assert sum(found.values()) == pytest.approx(sum(kept.values()), abs=3 * logits.nbytes + 64)


@pytest.mark.parametrize("entry", {entry.family: entry for entry in entries()}.values(), ids=lambda entry: entry.family)
def test_every_family_can_be_asked(entry) -> None:
    model = entry.build(entry.tiny, classes=3, in_channels=3)
    side = model.max_side or max(model.min_side, 32)
    side += (model.min_side - side) % model.side_step
    forward, training = (peak_bytes(model, (3, side, side), batch=2, training=each) for each in (False, True))
    parameters = sum(each.nbytes for each in model.parameters())
    assert parameters < forward < training
    assert training > 3 * parameters - sum(each.nbytes for each in model.aux.parameters()) * 3


def test_show_says_what_fits() -> None:
    result = CliRunner().invoke(app, ["show", "resnet20_cifar", "--memory", "64MB"])
    assert result.exit_code == 0, result.output
    assert "What fits into 64" in result.output
    result = CliRunner().invoke(app, ["show", "resnet20_cifar", "--memory", "64MB", "--json"])

    record = from_json(SizeRecord, json.loads(result.stdout))
    assert to_json(record) == json.loads(result.stdout)
    assert record.memory is not None
    assert record.memory.forward.largest_batch > record.memory.training.largest_batch > 1
    wrong = CliRunner().invoke(app, ["show", "lenet5", "--memory", "lots"])
    assert wrong.exit_code == 1
    assert "no amount of memory" in wrong.stderr


# ---------------------------------------------------------------------- against the allocator


def allocated(run: Callable[[], object]) -> int:
    """Most bytes that PyTorch's allocator gave out beyond what there was before, by its own events."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    assert profiler.profiler is not None
    events = [each for each in profiler.profiler.kineto_results.events() if each.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda each: each.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def check_against_the_allocator(name: str, batch: int, side: int) -> None:
    model = REGISTRY.get(name).create(classes=10)
    shape = (model.in_channels, side, side)
    x, labels = torch.rand(batch, *shape), torch.zeros(batch, dtype=torch.int64)
    there = sum(each.nbytes for each in [x, *model.parameters(), *model.buffers()])

    def forward() -> None:
        with torch.no_grad():
            model(x)

    model.eval()
    forward()  # what is made once and stays is not counted
    found = {"forward": there + allocated(forward)}
    optimiser = torch.optim.SGD(model.train().parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        nn.functional.cross_entropy(model(x), labels).backward()
        optimiser.step()

    step()
    optimiser.zero_grad()
    state = sum(each.nbytes for each in model.parameters())
    found["training"] = there + state + allocated(step)
    for mode, measured in found.items():
        told = peak_bytes(model, shape, batch=batch, training=mode == "training")
        print(f"{name} {mode}: told {told / 1e6:.1f} MB, measured {measured / 1e6:.1f} MB, {told / measured - 1:+.1%}")
        assert abs(told / measured - 1) < 0.1, (name, mode)


def test_the_allocator_agrees() -> None:
    check_against_the_allocator("resnet20_cifar", 16, 32)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "vgg11", "densenet121", "convnext_tiny"])
def test_the_allocator_agrees_on_large_networks(name: str) -> None:
    if name not in REGISTRY:
        pytest.skip(f"there is no {name} yet")
    check_against_the_allocator(name, 4, 96)
