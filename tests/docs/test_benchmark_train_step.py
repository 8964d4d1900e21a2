"""The benchmark of the training step."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from striate.data.source import PixelSource
from striate.records.recipes import Augment, Recipe
from striate.training.loop import train
from striate.training.options import Hooks, TrainingOptions

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location("benchmark_train_step", FOLDER / "train_step.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Counted(nn.Module):
    """A network whose forward pass takes ten seconds of a fake clock."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.now = nn.Linear(12, 3), 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.now += 10.0
        return self.layer(x.flatten(1).float())


def test_our_time_is_that_of_the_whole_step_and_references_run_between_steps(step: ModuleType) -> None:
    network, ran = Counted(), []

    def reference(name: str) -> float:
        network.now += 1.0
        ran.append(name)
        return 30.0

    rounds = step.Interleaved({"a": lambda: reference("a"), "b": lambda: reference("b")}, lambda: network.now)
    source = PixelSource(np.zeros((4, 2, 2, 3), np.uint8), np.array([0, 1, 2, 0]), Augment(), seed=0)
    train(
        network,
        source,
        Recipe(batch=4, steps=4, lr=1e-3),
        TrainingOptions(seed=0),
        hooks=Hooks(progress=rounds),
        loss=nn.CrossEntropyLoss(),
    )
    assert rounds.seconds == {"ours": [10.0] * 4, "a": [30.0] * 4, "b": [30.0] * 4}
    assert "".join(ran) == "ab" + "ba" + "ab" + "ba"


def test_failures_lists_the_results_that_miss_their_ratio(step: ModuleType) -> None:
    def row(against: str, ratio: float, **changed: object) -> dict[str, object]:
        row = {"network": "resnet50", "cut": "-", "against": against, "ratio": ratio, "precision": "bf16"}
        return row | {"tuned_baselines": False, "batch": 64} | changed

    assert step.failures([row("plain", 2.9), row("timm", 1.0), row("minimal", 0.98)]) == []
    assert step.failures([row("plain", 2.7)]) == ["resnet50 (cut -) 2.70 of 2.8"]
    assert step.failures([row("plain", 2.7, batch=32)]) == []
    assert step.failures([row("plain", 2.7, precision="float32"), row("plain", 1.0, tuned_baselines=True)]) == []
    assert "above 1.03" in step.failures([row("minimal", 0.9)])[0]
