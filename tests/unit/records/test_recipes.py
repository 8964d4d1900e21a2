"""Recipes read, say where they come from, and train."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.core.errors import PlanError
from striate.models import REGISTRY
from striate.records.recipes import Augment, Recipe, Schedule, recipe, recipe_names
from striate.training.loop import total_steps, train
from striate.training.options import TrainingOptions
from striate.training.schedule import cycle_ends, share

PAPERS = {  # recipe to the network that the paper trains
    "lenet_1998": "lenet5",
    "alexnet_2012": "alexnet_2012",
    "vgg_2014": "vgg16",
    "googlenet_2014": "googlenet_paper",
    "resnet_2015": "resnet56_cifar",
    "resnet_2015_plateau": "resnet50",
    "stochastic_depth": "stochastic_depth_resnet110",
    "shake_shake": "shake_shake_26",
    "snapshot": "resnet110_cifar",
    "densenet": "densenet_bc_100_12",
    "wide_resnet": "wrn16_4",
    "efficientnet": "efficientnet_b0",
    "convnext": "convnext_tiny",
    "modern": "resnet50",
    "resnet_cifar_fast": "airbench94",
}
CITES = re.compile(r"\b(19|20)\d\d\b.*\b(sections? [IVX\d.]+|Table \d+)", re.DOTALL)


class Noise:
    """Four images of a network's least size."""

    def __init__(self, channels: int, side: int) -> None:
        self.x = torch.rand(4, channels, side, side, generator=torch.Generator().manual_seed(0))
        self.y = torch.tensor([0, 1, 2, 0])

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, samples: np.ndarray, epoch: int) -> tuple[Tensor, Tensor]:
        return self.x[samples], self.y[samples]


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_says_where_it_comes_from(name: str) -> None:
    source = recipe(name).source
    assert source.endswith(".")
    if name in PAPERS:
        assert CITES.search(source), source


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_trains(name: str) -> None:
    entry = REGISTRY.get(PAPERS.get(name, "resnet20_cifar"))
    torch.manual_seed(0)
    model = entry.build(entry.tiny, classes=3, in_channels=3)
    side = max(model.aux_side, 32) if model.max_side is None else model.max_side
    before = {key: value.clone() for key, value in model.state_dict().items()}
    method = dataclasses.replace(recipe(name), steps=2)
    done = train(model, Noise(3, side), method, TrainingOptions(seed=0), loss=nn.CrossEntropyLoss())
    assert done.steps == 2
    assert all(np.isfinite(row["loss"]) for row in done.curve)
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert any(key.startswith("head.") for key in moved)
    assert any(key.startswith("aux.") for key in moved) == (method.aux_weight > 0)


def test_papers_count_their_steps() -> None:
    """As the papers say it, in passes and steps over their own sets."""
    assert total_steps(recipe("resnet_2015"), 50000) == 64000
    assert total_steps(recipe("lenet_1998"), 60000) == 20 * 60000
    assert total_steps(recipe("vgg_2014"), 1281167) == pytest.approx(370_000, rel=0.01)  # section 3.1
    assert total_steps(recipe("densenet"), 50000) == 300 * 781


def rates(name: str, steps: int, at: list[int]) -> list[float]:
    method = recipe(name)
    return [method.lr * share(method.schedule, step, steps) for step in at]


def test_learning_rates_of_the_papers() -> None:
    assert rates("resnet_2015", 64000, [0, 31999, 32000, 48000]) == pytest.approx([0.1, 0.1, 0.01, 0.001])
    # 0.0005, 0.0002, 0.0001, 0.00005 and 0.00001, in the same ratios
    passes = [lr / 0.016 * 0.0005 for lr in rates("lenet_1998", 20, [1, 2, 4, 5, 7, 8, 11, 12, 19])]
    assert passes == pytest.approx([5e-4, 2e-4, 2e-4, 1e-4, 1e-4, 5e-5, 5e-5, 1e-5, 1e-5])
    assert rates("googlenet_2014", 250, [0, 7, 8, 16]) == pytest.approx([0.01, 0.01, 0.0096, 0.009216])
    assert rates("wide_resnet", 200, [59, 60, 120, 160]) == pytest.approx([0.1, 0.02, 0.004, 0.0008])
    # after 5 of 350 passes of warm-up two falls lie behind; then one every 2.4 passes
    assert rates("efficientnet", 3500, [24, 50, 71, 72]) == pytest.approx(
        [0.256 / 2, 0.256 * 0.97**2, 0.256 * 0.97**2, 0.256 * 0.97**3]
    )


def test_a_cycle_begins_at_the_peak_and_ends_near_zero() -> None:
    """Equation 2 of Huang et al. 2017, for 300 passes in 6 cycles."""
    passes = rates("snapshot", 300, list(range(300)))
    for first in range(0, 300, 50):
        assert passes[first : first + 50] == pytest.approx(
            [0.05 * (np.cos(np.pi * step / 50) + 1) for step in range(50)]
        )
    uneven = Schedule(kind="cosine_restarts", cycles=4, warmup=0.1)
    assert cycle_ends(uneven, 10) == (3, 5, 8, 10)
    assert [share(uneven, step, 10) for step in (0, 1, 3, 5, 8)] == [1.0] * 5
    assert cycle_ends(Schedule(kind="cosine_restarts", cycles=6), 2) == (1, 2)  # no cycle without a step
    assert cycle_ends(Schedule(), 10) == ()


def test_invalid_schedules_are_rejected() -> None:
    for wrong in (
        {"kind": "step"},
        {"kind": "step", "milestones": (0.5,), "step_size": 0.1},
        {"kind": "linear", "step_size": 0.1},
    ):
        with pytest.raises(ValueError, match="either milestones or step_size"):
            Schedule(**wrong)
    with pytest.raises(ValueError, match="one factor for each of 2 milestones; got 1"):
        Schedule(kind="step", milestones=(0.3, 0.6), gammas=(0.1,))
    with pytest.raises(ValueError, match=r"below 1; got 1\.5"):
        Schedule(kind="step", step_size=1.5)
    with pytest.raises(ValueError, match="above 1 only for kind 'cosine_restarts'"):
        Schedule(kind="cosine", cycles=2)


def test_a_user_file_is_a_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'optimizer = "adamw"\nlr = 1\nbatch = 64\n[schedule]\nkind = "step"\nmilestones = [0.5]\n'
        '[augment]\nflip = "alternate"\ncrop_scale = [0.3, 1]\nrand_augment = [2, 9]\n'
    )
    expected = Recipe(
        optimizer="adamw",
        lr=1.0,
        batch=64,
        schedule=Schedule(kind="step", milestones=(0.5,)),
        augment=Augment(flip="alternate", crop_scale=(0.3, 1.0), rand_augment=(2, 9.0)),
    )
    assert recipe(str(file)) == expected
    file.write_text("epochs = 3\n")
    assert recipe(str(file)) == Recipe(epochs=3)  # as it is now


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lr = [", "not valid TOML"),
        ("learning_rate = 0.1", "'learning_rate' is none of optimizer, lr"),
        ('lr = "fast"', "lr: a number is wanted; got 'fast'"),
        ("lr = true", "lr: a number is wanted; got True"),
        ("epochs = 2.5", "epochs: a whole number is wanted; got 2.5"),
        ('optimizer = "adam"', "optimizer: 'sgd' or 'rmsprop' or 'adamw' is wanted; got 'adam'"),
        ("schedule = 3", "schedule: a table is wanted; got 3"),
        ("[augment]\ncrop_scale = [0.1]", "augment: crop_scale: 2 values are wanted"),
        ("[augment]\ncrop_scale = 0.1", "augment: crop_scale: a list is wanted; got 0.1"),
        ('[augment]\nflip = "often"', "augment: flip: true or false is wanted; got 'often'; or 'alternate' is wanted"),
        ("[augment]\naspect_ratio = 0.5", "augment: scale must be two factors above 0, aspect_ratio at least 1"),
        ("batch = 8\nmicro_batch = 3", "micro_batch must divide the batch of 8"),
        ("epochs = 1000000000000", "epochs and batch must be at most 1,000,000"),
        ("batch = 1000000000000", "epochs and batch must be at most 1,000,000"),
        ("steps = 10000000000", "steps at most 1,000,000,000"),
        ("epochs = 99999999999999999999", "epochs: a whole number below 2 ** 63 is wanted"),
        ("lr = nan", "lr: a finite number is wanted; got nan"),
        ("lr = inf", "lr: a finite number is wanted; got inf"),
        ("[augment]\npad = nan", "augment: pad: a finite number is wanted"),
        ("a = " + "[" * 5000, "recursion"),
        ("a" + ".b" * 5000 + " = 1", "none of optimizer"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(PlanError, match=re.escape(says)) as caught:
        recipe(str(file))
    assert str(file) in str(caught.value)


def test_a_recipe_that_is_not_there() -> None:
    with pytest.raises(PlanError, match=r"nowhere\.toml cannot be read: no such file"):
        recipe("nowhere.toml")
    with pytest.raises(PlanError, match="there is no recipe 'lenet_shrot'"):
        recipe("lenet_shrot")
