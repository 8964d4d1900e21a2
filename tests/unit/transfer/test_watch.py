"""Progress of a candidate, and a time limit that drops candidates as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from striate.core.events import NoProgress
from striate.training.loop import PHASE
from striate.transfer import budget as budgets
from striate.transfer import probe
from striate.transfer.budget import Budget, Estimate
from striate.transfer.watch import BudgetSpent, CandidateWatch, StartWatch


class Said(NoProgress):
    def __init__(self) -> None:
        self.phases: list[str] = []
        self.notes: list[str] = []
        self.remaining: list[float] = []

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        self.phases.append(name)

    def note(self, message: str, **facts: Any) -> None:
        self.notes.append(message)

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        self.remaining.append(facts["seconds_left"])


@pytest.fixture(autouse=True)
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without other work."""
    monkeypatch.setattr(budgets, "busy", lambda: 1.0)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def train(watch: CandidateWatch, clock: Clock, step_s: float, *, folds: int = 4, steps: int = 100) -> None:
    watch.expect(work=1.0, trainings=folds)
    for fold in range(1, folds + 1):
        with watch.training(f"fold {fold} of {folds}", 1 / folds):
            watch.phase(PHASE, steps, "step")
            for step in range(1, steps + 1):
                clock.now += step_s
                watch.step(step)


def test_phases_name_the_candidate_and_the_fold() -> None:
    clock, said = Clock(), Said()
    train(CandidateWatch(said, Budget(None, 45, clock=clock), "fine-tuning stage4"), clock, 0.01)
    assert said.phases[0] == "fine-tuning stage4, fold 1 of 4: training"
    assert said.phases[-1] == "fine-tuning stage4, fold 4 of 4: training"


def test_a_candidate_within_the_budget_is_not_stopped() -> None:
    clock = Clock()
    train(CandidateWatch(Said(), Budget(50, 45, clock=clock), "a", seconds=1), clock, 0.1)  # takes 40 s
    assert clock.now == pytest.approx(40)


@pytest.mark.parametrize("step_s", [0.15, 1.0])
def test_a_candidate_that_turns_out_slow_is_stopped_early(step_s: float) -> None:
    """It was expected to take 10 s, and takes 60 or 400 s of 50 s."""
    clock = Clock()
    with pytest.raises(BudgetSpent, match="budget's remaining"):
        train(CandidateWatch(Said(), Budget(50, 45, clock=clock), "a", seconds=10), clock, step_s)
    assert clock.now < 4


def test_a_machine_that_becomes_slow_stops_a_candidate_before_the_end_of_the_budget() -> None:
    clock = Clock()
    watch = CandidateWatch(Said(), Budget(50, 45, clock=clock), "a", seconds=30)
    train(watch, clock, 0.1, folds=1)
    with pytest.raises(BudgetSpent):
        train(watch, clock, 2.0)
    assert clock.now < 20


def test_without_a_budget_no_clock_stops_anything() -> None:
    clock = Clock()
    train(CandidateWatch(Said(), Budget(None, 45, clock=clock), "a", seconds=1), clock, 1e6)


def test_the_linear_head_is_never_stopped() -> None:
    clock = Clock()
    train(CandidateWatch(Said(), Budget(1, 45, clock=clock), "head", bounded=False), clock, 10)


def test_the_estimate_of_the_whole_follows_the_measured_pace() -> None:
    clock, said = Clock(), Said()
    train(CandidateWatch(said, Budget(None, 45, clock=clock), "a", seconds=10, ahead_s=100), clock, 1.0)  # 400 s
    assert said.remaining[0] == 110
    assert said.remaining[-1] == pytest.approx(100, abs=16)
    assert said.remaining[2] == pytest.approx(400 - 32 + 100, abs=20)


def test_the_estimate_of_the_whole_includes_the_end_of_the_run() -> None:
    clock, said = Clock(), Said()
    budget = Budget(None, 45, clock=clock)
    budget.reserve("test", 30)
    CandidateWatch(said, budget, "a", seconds=10).phase(PHASE, 10, "step")
    assert said.remaining == [40]


def test_time_for_the_end_of_the_run_is_kept() -> None:
    clock = Clock()
    budget = Budget(100, 45, clock=clock)
    before = budget.left
    budget.reserve("test", 20)
    assert budget.left == pytest.approx(before - 20)
    assert budget.skip_reason(Estimate(epochs=5, seconds=80))
    assert not budget.skip_reason(Estimate(epochs=5, seconds=60))
    assert budget.skip_reason(Estimate(epochs=5, seconds=60), final=1 / 3)  # and trained again on all images


def test_the_clock_of_the_budget_starts_with_the_run() -> None:
    clock = Clock()
    clock.now = 130.0
    assert Budget(60, 45, began=100.0, clock=clock).elapsed == 30


def test_a_budget_that_is_too_short_is_reported_at_once_and_once() -> None:
    clock, said = Clock(), Said()
    watch = StartWatch(said, Budget(10, 45, clock=clock), image_s=0.001, after_s=1.0)
    watch.phase("extracting features", 1000, "image")  # expected to take 1 s
    assert not said.notes
    for done in range(1, 60):
        clock.now += 0.1  # 100 s in all
        watch.step(done)
    (note,) = said.notes
    assert "a budget of 10 s is too short" in note
    assert "1 min 4" in note or "at least 1 min" in note


def test_a_long_enough_budget_is_not_reported() -> None:
    clock, said = Clock(), Said()
    watch = StartWatch(said, Budget(200, 45, clock=clock), image_s=0.001, after_s=1.0)
    watch.phase("extracting features", 1000, "image")
    for done in range(1, 1001):
        clock.now += 0.1
        watch.step(done)
    assert not said.notes


@pytest.mark.parametrize(("budget_s", "probed"), [(None, 4), (4000.0, 4), (100.0, 2), (20.0, 1), (0.01, 1)])
def test_probing_obeys_the_budget_from_the_deepest_layer_upwards(
    monkeypatch: pytest.MonkeyPatch, budget_s: float | None, probed: int
) -> None:
    clock, said = Clock(), Said()
    layers = ("stem", "stage1", "stage2", "stage3")

    def fit(features: Any, targets: Any, *, seed: int) -> Any:
        clock.now += 10.0
        return SimpleNamespace(loss=1.0, row=lambda layer, width: layer)

    context: Any = SimpleNamespace(
        sets=SimpleNamespace(final=np.arange(3)),
        model=SimpleNamespace(probe_layers=layers),
        features=SimpleNamespace(at=lambda layer, images: None, widths=dict.fromkeys(layers, 8)),
        task=SimpleNamespace(probe=fit, fit_head=lambda model, layer: None),
        targets=np.zeros(3),
        plan=SimpleNamespace(seed=0),
        progress=said,
    )
    found = probe.probe_layers(context, Budget(budget_s, 45, clock=clock))
    assert found.rows == layers[-probed:]
    assert found.left_out == layers[:-probed]
    assert any("no time to probe stem" in note for note in said.notes) == (probed < 4)
