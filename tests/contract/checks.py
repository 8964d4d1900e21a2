"""What every network promises; each check takes a registry entry and judges its tiny form."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from striate.core.errors import InputShapeError, PlanError, UnknownModelError
from striate.core.meta import shapes_only
from striate.models import DenseModel, Entry, StagedModel
from striate.models.registry import with_options

CLASSES = 3
ONE_ANSWER: set[Callable[[Entry], None]] = set()


def build(entry: Entry, *, in_channels: int = 3, classes: int = CLASSES) -> StagedModel:
    torch.manual_seed(0)
    return entry.build(entry.tiny, classes=classes, in_channels=in_channels)


def side_of(model: StagedModel) -> int:
    steps = max(0, math.ceil((max(32, model.aux_side) - model.min_side) / model.side_step))
    return model.max_side or model.min_side + steps * model.side_step


def answer(model: StagedModel, x: Tensor) -> tuple[int, ...]:
    """The shape of what a network makes of images: a vector each, or a map each."""
    if isinstance(model, DenseModel):
        return (len(x), model.classes, x.shape[2] - 2 * model.margin, x.shape[3] - 2 * model.margin)
    return (len(x), model.classes)


def loss(model: StagedModel) -> Tensor:
    """As in training, auxiliary heads and all."""
    logits, aux = model.forward_with_aux(images(model))
    labels = torch.tensor([0, 1, 2, 0]).view(-1, *[1] * (logits.ndim - 2))
    losses = [
        nn.functional.cross_entropy(each, labels.expand(len(each), *each.shape[2:])) for each in (logits, *aux.values())
    ]
    return torch.stack(losses).sum()


def images(model: StagedModel, count: int = 4) -> Tensor:
    side = side_of(model)
    return torch.rand(count, model.in_channels, side, side, generator=torch.Generator().manual_seed(1))


def settled(entry: Entry) -> StagedModel:
    """In evaluation, with the batch statistics of some images, so that no signal dies on its way up."""
    model = build(entry).train()
    for parameter in model.parameters():
        if parameter.ndim > 1 and not parameter.any():  # some layers begin at zero
            nn.init.normal_(parameter, std=0.1)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        model.forward_with_aux(images(model, 8))
    return model.eval()


def of_classifiers(check: Callable[[Entry], None]) -> Callable[[Entry], None]:
    """A promise of networks that give one answer an image; dense ones have theirs in `dense_checks`."""
    ONE_ANSWER.add(check)
    return check


# ---------------------------------------------------------------------- shapes


def check_output_shape(entry: Entry) -> None:
    model = build(entry).eval()
    x = images(model, 2)
    assert model(x).shape == answer(model, x)


def check_output_shape_is_the_same_in_training(entry: Entry) -> None:
    model = build(entry).train()
    x = images(model, 2)
    assert model(x).shape == answer(model, x)


def check_stages_are_named_in_order(entry: Entry) -> None:
    model = build(entry)
    assert model.stages == ("stem", *(f"stage{n}" for n in range(1, len(model.stages))))
    assert [name for name, _ in model.named_children()] == [*model.stages, *(["aux"] if model.aux else []), "head"]


def check_stage_table_is_what_is_measured(entry: Entry) -> None:
    model = build(entry).eval()
    side = side_of(model)
    small = model.forward_stages(images(model, 1))
    assert tuple(small) == model.stages
    for info in model.stage_table:
        assert small[info.name].shape[1] == info.channels
        if model.max_side is not None:
            assert small[info.name].shape[2:] == (side // info.reduction, side // info.reduction)
            continue
        # so many more pixels must give so many more positions, whatever the padding
        more = math.lcm(info.reduction, model.side_step)
        large = model.forward_stages(torch.zeros(1, 3, side + 4 * more, side + 3 * more))
        grown = [b - a for a, b in zip(small[info.name].shape[2:], large[info.name].shape[2:], strict=True)]
        assert grown == [4 * more // info.reduction, 3 * more // info.reduction]


def check_a_stage_ends_where_resolution_falls(entry: Entry) -> None:
    reductions = [info.reduction for info in build(entry).stage_table]
    assert reductions == sorted(reductions)
    # the first stages may share one (CIFAR networks); a dense network has but one position from its stem on
    assert len(set(reductions)) >= len(reductions) - 1


def check_other_channels(entry: Entry) -> None:
    for channels in (1, 4):
        model = build(entry, in_channels=channels).eval()
        x = images(model, 1)
        assert model(x).shape == answer(model, x)


def check_images_need_not_be_square(entry: Entry) -> None:
    model = build(entry).eval()
    if model.max_side is None:
        x = torch.zeros(1, 3, model.min_side, model.min_side + 37 * model.side_step)
        assert model(x).shape == answer(model, x)


def check_least_and_greatest_side(entry: Entry) -> None:
    model = build(entry).eval()
    x = torch.zeros(1, 3, model.min_side, model.min_side)
    assert model(x).shape == answer(model, x)
    if model.min_side > 1:
        with pytest.raises(InputShapeError, match=f"below {model.min_side}"):
            model(torch.zeros(1, 3, model.min_side, model.min_side - 1))
    if model.max_side is not None:
        with pytest.raises(InputShapeError, match=f"above {model.max_side}"):
            model(torch.zeros(1, 3, model.max_side, model.max_side + 1))


def check_wrong_channels_are_named(entry: Entry) -> None:
    model = build(entry)
    with pytest.raises(InputShapeError, match=r"takes \[n, 3, h, w\]"):
        model(torch.zeros(1, 2, side_of(model), side_of(model)))
    with pytest.raises(InputShapeError, match=r"takes \[n, 3, h, w\]"):
        model.forward_stages(torch.zeros(3, side_of(model), side_of(model)))


def check_no_channels_or_classes_is_an_error(entry: Entry) -> None:
    for sizes in ({"classes": 0, "in_channels": 3}, {"classes": 2, "in_channels": 0}):
        with pytest.raises(PlanError, match="from 1 to"):
            entry.create(**sizes)


# ---------------------------------------------------------------------- running in parts


@of_classifiers
def check_cut_and_rest_equal_the_whole(entry: Entry) -> None:
    model = settled(entry)
    x = images(model)
    whole = model(x)
    for stage in model.stages:
        bottom, top = model.cut(stage)
        assert torch.equal(top(bottom(x)), whole)
        assert list(bottom(x)) == [stage]
        assert torch.equal(bottom(x)[stage], model.forward_stages(x, keep=[stage])[stage])
    with pytest.raises(UnknownModelError, match="stages: stem"):
        model.cut("stage99")


def check_nothing_above_what_is_kept_runs(entry: Entry) -> None:
    model = settled(entry)
    ran: list[str] = []

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _module, _inputs: ran.append(name)

    for name in (*model.stages, "head"):
        model.get_submodule(name).register_forward_pre_hook(note(name))
    for place, stage in enumerate(model.stages):
        ran.clear()
        assert list(model.forward_stages(images(model), keep=[stage])) == [stage]
        assert ran == list(model.stages[: place + 1])


@of_classifiers
def check_kept_maps_are_not_written_over(entry: Entry) -> None:
    model = settled(entry)
    x = images(model)
    before = x.clone()
    together = model.forward_stages(x)
    model.forward_head(together[model.stages[-1]])
    for stage in model.stages:
        assert torch.equal(together[stage], model.forward_stages(x, keep=[stage])[stage])
    assert torch.equal(x, before)


@of_classifiers
def check_the_head_runs_in_parts(entry: Entry) -> None:
    model = settled(entry)
    x = images(model)
    features = model.forward_features(x)
    pooled = model.forward_head(features, upto="pool")
    assert pooled.ndim == 2
    assert torch.equal(model.forward_head(features), model(x))
    before_pool = model.head.before_pool
    assert model.head.part_names[: len(before_pool) + 1] == (*before_pool, "pool")
    assert model.head.part_names[-1] == "logits"
    for part in model.head.hidden:
        output = model.forward_head(features, upto=part)
        assert output.ndim == (4 if part in before_pool else 2)
        assert output.shape[1] == model.head.width(part)
    with pytest.raises(InputShapeError, match="parts: "):
        model.forward_head(features, upto="fc99")


@of_classifiers
def check_head_swap(entry: Entry) -> None:
    model = settled(entry)
    x = images(model)
    kept = {name: value.clone() for name, value in model.state_dict().items() if "logits" not in name}
    model.replace_head(7)
    assert model.classes == 7
    assert model(x).shape == answer(model, x)
    for name, value in kept.items():
        assert torch.equal(model.state_dict()[name], value)
    with pytest.raises(PlanError, match="at least 1 class"):
        model.replace_head(0)


@of_classifiers
def check_truncation_at_every_feature_layer(entry: Entry) -> None:
    for layer in settled(entry).feature_layers:
        model = settled(entry).freeze(settled(entry).stages[-1]).eval()
        x = images(model)
        stage, _, part = layer.partition(".")
        if part:
            features = model.forward_head(model.forward_features(x), upto=part)
        else:
            features = model.forward_stages(x, keep=[stage])[stage]
        model.truncate(layer, 7)
        assert (model.classes, model(x).shape) == (7, (4, 7))
        kept = model.head.hidden[-1] if part else None
        again = model.forward_head(model.forward_features(x), upto=kept) if part else model.forward_features(x)
        torch.testing.assert_close(again, features)
        train_steps(model, 1)
        assert model.frozen == model.stages
    with pytest.raises(UnknownModelError, match="layers: stem"):
        model.truncate("stage99", 7)


# ---------------------------------------------------------------------- numbers


def check_every_parameter_gets_a_gradient(entry: Entry) -> None:
    model = build(entry).train()
    loss(model).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def check_auxiliary_heads_classify_beside_the_network(entry: Entry) -> None:
    model = settled(entry)
    x = images(model)
    logits, aux = model.forward_with_aux(x)
    assert torch.equal(logits, model(x))
    assert set(aux) == {name.replace("/", ".") for name in model.aux}
    for path, each in aux.items():
        assert each.shape == logits.shape
        tapped = model.get_submodule(path)
        model.zero_grad()
        each.sum().backward(retain_graph=True)
        assert any(parameter.grad is not None and parameter.grad.any() for parameter in tapped.parameters())


def check_published_variants_have_the_auxiliary_heads_of_the_tiny_one(entry: Entry) -> None:
    with shapes_only():
        assert bool(entry.create().aux) == bool(build(entry).aux)


def check_images_too_small_for_auxiliary_heads_are_named(entry: Entry) -> None:
    model = build(entry).eval()
    if not model.aux or model.aux_side == model.min_side:
        return
    least = torch.zeros(1, 3, model.aux_side, model.aux_side)
    assert set(model.forward_with_aux(least)[1]) == {name.replace("/", ".") for name in model.aux}
    small = torch.zeros(1, 3, model.aux_side - 1, model.aux_side)
    assert model(small).shape == answer(model, small)
    with pytest.raises(InputShapeError, match=f"below {model.aux_side}, the smallest that the auxiliary heads"):
        model.forward_with_aux(small)
    model.aux_side -= 1  # the check asleep, so that the layers answer for themselves
    with pytest.raises(RuntimeError):
        model.forward_with_aux(small)


def check_evaluation_is_deterministic(entry: Entry) -> None:
    model = settled(entry)
    before = copy.deepcopy(model.state_dict())
    assert torch.equal(model(images(model)), model(images(model)))
    for name, value in before.items():
        assert torch.equal(model.state_dict()[name], value)


def check_batch_mates_do_not_matter(entry: Entry) -> None:
    model = settled(entry).double()
    x = images(model).double()
    together = model(x)
    for place in range(len(x)):
        torch.testing.assert_close(model(x[place : place + 1]), together[place : place + 1], rtol=1e-9, atol=1e-12)


def check_output_depends_on_the_image(entry: Entry) -> None:
    model = settled(entry)
    assert model(images(model)).std(0).min() > 0


def check_channels_last_agrees(entry: Entry) -> None:
    model = settled(entry).double()
    x = images(model).double()
    expected = model(x)
    model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    torch.testing.assert_close(model(x.to(memory_format=torch.channels_last)), expected, rtol=1e-9, atol=1e-12)


def check_state_round_trip(entry: Entry) -> None:
    model = settled(entry)
    torch.manual_seed(9)
    other = entry.build(entry.tiny, classes=CLASSES, in_channels=3).eval()
    x = images(model)
    assert not torch.equal(other(x), model(x))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x), model(x))


# ---------------------------------------------------------------------- freezing


def state_of(model: StagedModel, *parts: str) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items() if k.partition(".")[0] in parts}


def train_steps(model: StagedModel, steps: int = 3) -> None:
    """Steps that would move whatever can: momentum, weight decay, every parameter handed over."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    model.train()
    for _ in range(steps):
        optimiser.zero_grad()
        loss(model).backward()
        optimiser.step()


def check_frozen_stages_do_not_move(entry: Entry) -> None:
    for upto in build(entry).stages:
        model = build(entry)
        below = model.stages[: model.stages.index(upto) + 1]
        train_steps(model, 1)  # gradients and statistics from before the freeze
        before = state_of(model, *below)
        above = state_of(model, *model.stages_above(upto), "head")
        model.freeze(upto).eval()
        train_steps(model)
        assert model.frozen == below
        after = model.state_dict()
        assert [name for name, value in before.items() if not torch.equal(after[name], value)] == []
        trainable = [name for name, _ in model.named_parameters() if name in above]
        assert any(not torch.equal(after[name], above[name]) for name in trainable)


def check_fixed_statistics_do_not_move(entry: Entry) -> None:
    model = build(entry)
    train_steps(model, 1)
    before = {name: value.clone() for name, value in model.named_buffers()}
    model.freeze("stem", fixed_statistics=True)
    scales = {name: value.clone() for name, value in model.named_parameters() if not name.startswith("stem.")}
    train_steps(model)
    assert [name for name, value in model.named_buffers() if not torch.equal(before[name], value)] == []
    still = [name for name, value in model.named_parameters() if name in scales and torch.equal(scales[name], value)]
    assert still == []  # scale and shift of what is not frozen are trained all the same


def check_parts_of_the_head_freeze_too(entry: Entry) -> None:
    for layer in build(entry).head_layers:
        model = build(entry)
        train_steps(model, 1)
        model.freeze(layer)
        before = {
            k: v.clone() for k, v in model.state_dict().items() if k.startswith(tuple(f"{n}." for n in model.frozen))
        }
        assert (model.frozen[: len(model.stages)], model.frozen[-1]) == (model.stages, layer)
        train_steps(model)
        after = model.state_dict()
        assert [name for name, value in before.items() if not torch.equal(after[name], value)] == []
        assert model.head.logits_layer.weight.requires_grad
    with pytest.raises(UnknownModelError, match="layers: stem"):
        build(entry).freeze("stage99")


def check_unfreezing(entry: Entry) -> None:
    model = build(entry).freeze(build(entry).stages[-1], fixed_statistics=True).unfreeze()
    assert model.frozen == ()
    assert all(parameter.requires_grad for parameter in model.parameters())
    before = {name: value.clone() for name, value in model.named_buffers()}
    train_steps(model, 1)
    assert [name for name, value in model.named_buffers() if torch.equal(before[name], value)] == []


def check_parameter_stages_part_the_parameters(entry: Entry) -> None:
    model = build(entry)
    groups = model.parameter_stages()
    assert tuple(groups) == (*model.stages, "head", *(["aux"] if model.aux else []))
    grouped = [id(parameter) for group in groups.values() for parameter in group]
    assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters())


# ---------------------------------------------------------------------- options


def check_unknown_options_are_named(entry: Entry) -> None:
    with pytest.raises(PlanError, match="has no option 'colour'; options: "):
        entry.create(options={"colour": 1})
    assert with_options(entry.spec, {}) == entry.spec


def check_options_of_the_wrong_kind_are_named(entry: Entry) -> None:
    for field in dataclasses.fields(entry.spec):
        with pytest.raises(PlanError, match=f"option '{field.name}' cannot be 'nonsense'"):
            entry.create(options={field.name: "nonsense"})
