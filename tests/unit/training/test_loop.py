"""The loop goes on exactly where it stopped, and draws depend on samples alone."""

from __future__ import annotations

import copy
import os
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from striate.core.cancel import CancelToken
from striate.core.errors import JobCancelled, NonFiniteLossError, WorkerError
from striate.core.seed import generator, uniforms
from striate.data.augment import augment
from striate.records.recipes import Augment, Recipe, Schedule, recipe, recipe_names
from striate.training import loop
from striate.training.optim import make, set_lr
from striate.training.options import Hooks, Saving, TrainingOptions
from striate.training.schedule import drops, share

train = partial(loop.train, loss=nn.CrossEntropyLoss())


class Numbers:
    """Sixty points in eight dimensions, three classes."""

    def __init__(self) -> None:
        self.x = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
        self.y = (self.x[:, :3]).argmax(1)
        self.stop_at: int | None = None
        self.served = 0

    def __len__(self) -> int:
        return 60

    def batch(self, samples: np.ndarray, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        if self.served == self.stop_at:
            raise KeyboardInterrupt
        self.served += 1
        return self.x[samples] + 0.01 * epoch, self.y[samples]


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("stop_at", [1, 6, 13, 27])
def test_a_run_that_was_stopped_ends_with_the_same_weights(tmp_path, optimizer, stop_at) -> None:
    plan = Recipe(optimizer=optimizer, lr=0.05, batch=8, epochs=4, clip_grad_norm=1.0, label_smoothing=0.1)
    whole, parts = network(), network()
    straight = train(whole, Numbers(), plan, TrainingOptions(seed=3))
    source = Numbers()
    source.stop_at = stop_at
    path = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(parts, source, plan, TrainingOptions(seed=3), saving=Saving(file=path, signature="a", every_s=0))
    again = network()
    resumed = train(again, Numbers(), plan, TrainingOptions(seed=3), saving=Saving(file=path, signature="a", every_s=0))
    assert resumed.resumed_at == stop_at
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert resumed.curve == straight.curve


@pytest.mark.parametrize("ema", [None, 0.9])
def test_snapshots_are_the_weights_at_the_end_of_each_cycle(tmp_path, ema) -> None:
    """Also of a run that was stopped in the middle of a cycle; the last is the network that training leaves."""
    plan = Recipe(lr=0.05, batch=8, epochs=3, ema_decay=ema, schedule=Schedule(kind="cosine_restarts", cycles=3))
    model, state = network(), tmp_path / "state.safetensors"
    kept: dict[int, dict[str, torch.Tensor]] = {}

    def keep(number: int) -> None:
        assert not model.training
        kept[number] = copy.deepcopy(model.state_dict())

    options, hooks, saving = TrainingOptions(seed=3), Hooks(snapshot=keep), Saving(file=state, every_s=0)
    train(model, Numbers(), plan, options, hooks=hooks)
    whole = dict(kept)
    assert sorted(whole) == [1, 2, 3]
    assert all(torch.equal(whole[3][name], value) for name, value in model.state_dict().items())
    assert not torch.equal(whole[1]["0.weight"], whole[2]["0.weight"])
    source, model = Numbers(), network()
    source.stop_at = 10  # of 7 steps a cycle
    kept.clear()
    with pytest.raises(KeyboardInterrupt):
        train(model, source, plan, options, saving=saving, hooks=hooks)
    model = network()
    train(model, Numbers(), plan, options, saving=saving, hooks=hooks)
    assert all(torch.equal(whole[k][name], value) for k in whole for name, value in kept[k].items())


def test_a_state_of_another_plan_is_not_used(tmp_path) -> None:
    plan = Recipe(lr=0.05, batch=8, epochs=1)
    path = tmp_path / "state.safetensors"
    train(network(), Numbers(), plan, TrainingOptions(seed=3), saving=Saving(file=path, signature="a"))
    assert (
        train(network(), Numbers(), plan, TrainingOptions(seed=3), saving=Saving(file=path, signature="b")).resumed_at
        == 0
    )


def test_training_learns() -> None:
    model = network()
    curve = train(model, Numbers(), Recipe(lr=0.05, batch=8, epochs=12), TrainingOptions(seed=0)).curve
    assert curve[-1]["loss"] < 0.6 * curve[0]["loss"]


def test_a_nan_loss_stops_the_run() -> None:
    with pytest.raises(NonFiniteLossError, match="learning rate"):
        train(network(), Numbers(), Recipe(lr=1e38, batch=8, epochs=2), TrainingOptions(seed=0))


def test_uniforms_depend_on_the_sample_alone() -> None:
    many, one = uniforms(np.arange(1000), 4, 0, "x"), uniforms(np.array([37]), 4, 0, "x")
    assert (many[37] == one[0]).all()
    assert abs(many.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(many[:, 0], many[:, 1])[0, 1]) < 0.1
    assert (many != uniforms(np.arange(1000), 4, 1, "x")).all()


def image() -> torch.Tensor:
    ramp = torch.arange(32, dtype=torch.uint8) * 8
    return torch.stack([ramp.expand(32, 32), ramp.view(32, 1).expand(32, 32), ramp.expand(32, 32)], -1)[None]


def test_augment_does_not_depend_on_batch_mates() -> None:
    spec = Augment(
        flip=True, translate=0.1, scale=(0.8, 1.3), rotate=15, aspect_ratio=1.2, shear=5, brightness=0.2, contrast=0.2
    )
    pixels = image().repeat(5, 1, 1, 1)
    batch = augment(pixels, spec, seed=0, epoch=1, samples=np.arange(5))
    alone = augment(pixels[3:4], spec, seed=0, epoch=1, samples=np.array([3]))
    assert (batch[3:4].int() - alone.int()).abs().max() <= 1
    assert len({row.numpy().tobytes() for row in batch}) == 5


def test_augment_flips_exactly() -> None:
    pixels = image().repeat(8, 1, 1, 1)
    out = augment(pixels, Augment(flip=True), seed=0, epoch=0, samples=np.arange(8))
    flipped = [bool((row == pixels[0].flip(1)).all()) for row in out]
    assert any(flipped)
    assert all(f or bool((row == pixels[0]).all()) for f, row in zip(flipped, out, strict=True))


def test_a_translation_alone_keeps_a_ramp_linear() -> None:
    """The affine map of a shift alone leaves a linear ramp linear."""
    out = augment(image(), Augment(translate=0.25), seed=1, epoch=0, samples=np.array([0]))[0, :, :, 0].int()
    steps = out[16, 9:23].diff()
    assert steps.min() >= 7
    assert steps.max() <= 9


def test_every_recipe_reads() -> None:
    assert {"cifar_short", "finetune", "finetune_grey", "lenet_short"} <= set(recipe_names())
    for name in recipe_names():
        assert recipe(name).source


# ---------------------------------------------------------------------- groups, workers, averages, recoveries


def states_agree(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_workers_change_nothing() -> None:
    plan, ours = Recipe(lr=0.05, batch=8, epochs=2), []
    for workers in (0, 2):
        ours.append(network())
        train(ours[-1], Numbers(), plan, TrainingOptions(seed=3, workers=workers))
    assert states_agree(*ours)


class Dying(Numbers):
    def batch(self, samples: np.ndarray, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        os._exit(1)


def test_a_worker_that_dies_is_named() -> None:
    with pytest.raises(WorkerError, match=r"died: .*pid"):
        train(network(), Dying(), Recipe(batch=8, epochs=1), TrainingOptions(seed=0, workers=2))


def test_groups_part_the_batch_and_statistics_are_their_mean() -> None:
    """One step in groups of 4: gradients as by hand, running statistics the mean of what each group makes."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)).double()
    twin = copy.deepcopy(module).train()

    class Doubles(Numbers):
        def batch(self, samples: np.ndarray, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
            return self.x[samples].double(), self.y[samples]

    source = Doubles()
    plan = Recipe(
        lr=0.1, momentum=0, weight_decay=0, batch=12, micro_batch=4, steps=1, schedule=Schedule(kind="constant")
    )
    train(module, source, plan, TrainingOptions(seed=5))
    order = generator(5, "order", 0).permutation(60)[:12]
    means = []
    for part in np.split(order, 3):
        norm = copy.deepcopy(twin[1])
        x, y = source.batch(part, 0)
        (nn.functional.cross_entropy(twin[2](norm(twin[0](x))), y) / 3).backward()
        means.append(norm.running_mean)
        for name, parameter in norm.named_parameters():
            kept = getattr(twin[1], name)
            kept.grad = parameter.grad if kept.grad is None else kept.grad + parameter.grad
    torch.testing.assert_close(module[1].running_mean, torch.stack(means).mean(0))
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter -= 0.1 * parameter.grad
    for ours, theirs in zip(module.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_an_average_is_saved_and_resumed(tmp_path) -> None:
    plan = Recipe(lr=0.05, batch=8, epochs=4, ema_decay=0.9)
    whole, parts, source = network(), network(), Numbers()
    train(whole, Numbers(), plan, TrainingOptions(seed=3))
    last = network()
    train(last, Numbers(), Recipe(lr=0.05, batch=8, epochs=4), TrainingOptions(seed=3))
    assert not states_agree(whole, last)
    source.stop_at = 13
    path = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(parts, source, plan, TrainingOptions(seed=3), saving=Saving(file=path, signature="a", every_s=0))
    again = network()
    train(again, Numbers(), plan, TrainingOptions(seed=3), saving=Saving(file=path, signature="a"))
    assert states_agree(whole, again)


class Spiked(Numbers):
    """One batch in which a number is none."""

    def batch(self, samples: np.ndarray, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = super().batch(samples, epoch)
        return (x * float("nan") if self.served in self.bad else x), y

    def __init__(self, *bad: int) -> None:
        super().__init__()
        self.bad = bad


def test_a_nan_loss_goes_back_once_with_half_the_learning_rate(tmp_path) -> None:
    path, model = tmp_path / "state.safetensors", network()
    plan = Recipe(lr=0.05, batch=8, epochs=4)
    done = train(model, Spiked(11), plan, TrainingOptions(seed=3), saving=Saving(file=path, signature="a", every_s=0))
    assert done.halved_at == 10
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
    straight = network()
    train(straight, Numbers(), plan, TrainingOptions(seed=3))
    assert not states_agree(model, straight)  # the second part ran at half the rate
    with pytest.raises(NonFiniteLossError):
        train(network(), Spiked(3, 4), plan, TrainingOptions(seed=3), saving=Saving(file=tmp_path / "b", every_s=0))


def test_a_cancelled_training_saves_its_state_first(tmp_path) -> None:
    cancel = CancelToken()

    class Cancelling(Numbers):
        def batch(self, samples: np.ndarray, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
            if self.served == 9:
                cancel.cancel()
            return super().batch(samples, epoch)

    path, plan = tmp_path / "state.safetensors", Recipe(lr=0.05, batch=8, epochs=4)
    saving = Saving(file=path, signature="a", every_s=1e9)
    with pytest.raises(JobCancelled):
        train(network(), Cancelling(), plan, TrainingOptions(seed=3), saving=saving, hooks=Hooks(cancel=cancel))
    again, whole = network(), network()
    resumed = train(again, Numbers(), plan, TrainingOptions(seed=3), saving=Saving(file=path, signature="a"))
    assert resumed.resumes == (10,)
    train(whole, Numbers(), plan, TrainingOptions(seed=3))
    assert states_agree(again, whole)


def test_normalisation_biases_have_their_own_learning_rate() -> None:
    model = network()
    optimizer = make(model, Recipe(norm_bias_lr_scale=64.0), {"0.": 0.5, "1.": 0.25})
    set_lr(optimizer, 0.01)
    rates = {id(p): micro_batch["lr"] for micro_batch in optimizer.param_groups for p in micro_batch["params"]}
    expected = {
        "0.weight": 0.005,
        "0.bias": 0.005,
        "1.weight": 0.0025,
        "1.bias": 0.16,
        "4.weight": 0.01,
        "4.bias": 0.01,
    }
    assert {name: rates[id(p)] for name, p in model.named_parameters()} == pytest.approx(expected)
    with pytest.raises(ValueError, match="above 0"):
        Recipe(norm_bias_lr_scale=0)


def test_schedules() -> None:
    steps = Schedule(kind="step", milestones=(0.5, 0.75))
    assert [share(steps, s, 64000) for s in (0, 31999, 32000, 48000)] == pytest.approx([1, 1, 0.1, 0.01])
    line = Schedule(kind="linear", warmup=0.2)
    assert [share(line, s, 10) for s in (0, 1, 2, 6)] == pytest.approx([0.5, 1, 1, 0.5])
    plateau = Schedule(kind="plateau", patience=2)
    assert drops(plateau, [0.5, 0.6, 0.6, 0.59, 0.61, 0.6, 0.6]) == 2
    assert share(plateau, 5, 10, 2) == pytest.approx(0.01)


def test_a_compressed_recipe_keeps_the_fractions_of_its_milestones() -> None:
    plan = Recipe(steps=64000, schedule=Schedule(kind="step", milestones=(0.5, 0.75)))
    assert plan.compressed(0.25).steps == 16000
    with pytest.raises(ValueError, match="schedule_fraction must be above 0"):
        plan.compressed(0)
    with pytest.raises(ValueError, match="must divide the batch"):
        Recipe(batch=128, micro_batch=48)
