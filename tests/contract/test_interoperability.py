"""Networks serve other programs: the children idiom, torch.fx, torch.export, torch.compile, distributed training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import checks
import pytest
import torch
import torch.distributed as dist
from test_every_family import FAMILIES
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from striate.core.errors import InputShapeError
from striate.models import DenseModel, ImageModel, StagedModel

QUICK = ["mlp"]  # recording the others takes seconds each
pytestmark = pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0:RuntimeWarning")  # of PyTorch
SOME = [pytest.param(name, marks=() if FAMILIES[name].family in QUICK else pytest.mark.slow) for name in FAMILIES]


def larger(model: StagedModel, count: int) -> Tensor:
    """Images of another count and size, if the network accepts other sizes."""
    steps = 0 if model.max_side else model.side_step
    side = checks.side_of(model)
    return torch.rand(count, model.in_channels, side + 7 * steps, side + 3 * steps)


def with_several_positions(model: StagedModel) -> int:
    """A side at which no map has a single position: recorded sizes of 1 are fixed."""
    side = checks.side_of(model)
    while model.max_side is None:
        maps = model.forward_stages(torch.zeros(1, model.in_channels, side, side))
        if all(each.shape[2] > 3 for each in maps.values()):
            break
        side += 8 * model.side_step
    return side


@pytest.mark.parametrize("name", FAMILIES)
def test_the_children_run_in_order_and_the_head_is_the_last(name: str) -> None:
    model = checks.settled(FAMILIES[name])
    x = checks.images(model, 2)
    children = list(model.children())
    features = nn.Sequential(*children[:-1])(x)
    if isinstance(model, ImageModel):
        assert torch.equal(features, model.forward_features(x))
        assert torch.equal(nn.Sequential(*children)(x), model(x))
    else:
        last = model.stages[-1]
        assert torch.equal(features, model.forward_stages(x)[last])


@pytest.mark.parametrize("name", FAMILIES)
def test_torch_fx_traces_for_any_count_and_size(name: str) -> None:
    model = checks.settled(FAMILIES[name])
    graph = torch.fx.symbolic_trace(model)
    for x in (checks.images(model, 2), larger(model, 3)):
        assert torch.equal(graph(x), model(x))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_trace_made_in_training_trains_every_parameter_but_those_of_auxiliary_heads(name: str) -> None:
    model = checks.build(FAMILIES[name]).train()
    torch.fx.symbolic_trace(model)(checks.images(model)).sum().backward()
    for path, parameter in model.named_parameters():
        assert (parameter.grad is None) == path.startswith("aux."), path


@pytest.mark.parametrize("name", SOME)
def test_torch_export_leaves_count_height_and_width_open(name: str) -> None:
    model = checks.settled(FAMILIES[name])
    side = with_several_positions(model)
    left_open = dict.fromkeys((0,) if model.max_side else (0, 2, 3), torch.export.Dim.DYNAMIC)  # type: ignore[attr-defined]
    with torch.no_grad():
        program = torch.export.export(
            model, (torch.rand(2, model.in_channels, side, side),), dynamic_shapes=(left_open,)
        ).module()
        steps = 0 if model.max_side else model.side_step
        for count, down, across in ((1, 9, 4), (5, 2, 24)):
            x = torch.rand(count, model.in_channels, side + down * steps, side + across * steps)
            torch.testing.assert_close(program(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SOME)
def test_torch_compile_takes_every_way_to_run_a_network_as_one_graph(name: str) -> None:
    model = checks.settled(FAMILIES[name])
    x = checks.images(model, 2)
    torch._dynamo.reset()

    def compiled(function):  # type: ignore[no-untyped-def]
        return torch.compile(function, fullgraph=True, backend="eager")

    with torch.no_grad():
        torch.testing.assert_close(compiled(model)(x), model(x))
        torch.testing.assert_close(compiled(model.forward_stages)(x), model.forward_stages(x))
        middle = model.stages[len(model.stages) // 2]
        bottom, top = map(compiled, model.cut(middle))
        size = (x.shape[2], x.shape[3]) if isinstance(model, DenseModel) else None
        torch.testing.assert_close(top(bottom(x), size), model(x))


@contextmanager
def one_process() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("name", [name for name, entry in FAMILIES.items() if checks.build(entry).aux])
def test_distributed_training_does_not_wait_for_auxiliary_heads(name: str) -> None:
    model = checks.build(FAMILIES[name]).train()
    with one_process():
        parallel = DistributedDataParallel(model)
        for _ in range(3):
            parallel(checks.images(model)).sum().backward()
    assert model.get_parameter("head.logits.weight").grad is not None


def test_auxiliary_heads_get_no_gradient_from_the_main_output() -> None:
    model = checks.build(FAMILIES["inception_v3"]).train()
    model(checks.images(model)).sum().backward()
    for path, parameter in model.named_parameters():
        assert (parameter.grad is None) == path.startswith("aux."), path


def test_images_are_checked_whenever_nothing_is_recorded() -> None:
    model = checks.build(FAMILIES["mlp"])
    torch.fx.symbolic_trace(model)
    torch.compile(model, backend="eager")(checks.images(model, 1))
    with pytest.raises(InputShapeError, match=r"takes \[n, 3, h, w\]"):
        model(torch.zeros(1, 2, checks.side_of(model), checks.side_of(model)))
