"""The policy tries candidates in order of cost, and stops when a strategy no longer pays."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from striate.core.events import NoProgress
from striate.records import results
from striate.tasks.classify.metrics import score as classification_score
from striate.tasks.classify.task import Classification
from striate.transfer import policy
from striate.transfer.budget import MIN_EPOCHS, Budget, Estimate, estimate_training
from striate.transfer.candidates.base import Candidate, Result
from striate.transfer.watch import BudgetSpent

TASK = Classification(("a", "b"))
CONTEXT: Any = SimpleNamespace(task=TASK, progress=NoProgress())


class Step(Candidate):
    def __init__(self, title: str, accuracy: float, seconds: float = 0.0, skip_reason: str = "") -> None:
        super().__init__(CONTEXT, results.Candidate(strategy="finetune"), title=title, layer="stage1")
        self.accuracy = accuracy
        self._estimate = Estimate(epochs=1, seconds=seconds, skip_reason=skip_reason)

    def estimate(self) -> Estimate:
        return self._estimate

    def evaluate(self, watch: Any) -> Result:
        import numpy as np

        labels = np.zeros(10, dtype=np.int64)
        outputs = np.where(np.arange(10)[:, None] < 10 * self.accuracy, [[2.0, 0.0]], [[0.0, 2.0]])
        found = classification_score(outputs, labels, TASK.classes)
        return Result(candidate=self, record=results.Candidate(strategy="finetune", validation=found))

    def build(self, watch: Any) -> Any:
        raise AssertionError("the policy builds nothing")


def tried(monkeypatch: pytest.MonkeyPatch, *strategies: list[Step], budget: Budget | None = None) -> policy.Choice:
    monkeypatch.setattr(policy, "probe_layers", lambda context, budget: None)
    monkeypatch.setattr(policy, "STRATEGIES", tuple(lambda context, probe, s=steps: s for steps in strategies))
    return policy.choose(CONTEXT, budget or Budget(None, work_s=100))


def titles(choice: policy.Choice) -> list[str]:
    return [each.candidate.title for each in choice.results]


def test_the_simpler_candidate_wins_a_tie(monkeypatch) -> None:
    choice = tried(monkeypatch, [Step("head", 0.8)], [Step("one", 0.8, 50)])
    assert choice.winner.candidate.title == "head"
    assert titles(choice) == ["head", "one"]


def test_steps_continue_while_they_improve(monkeypatch) -> None:
    steps = [Step("one", 0.8, 50), Step("two", 0.9, 60), Step("three", 0.9, 70), Step("four", 1.0, 80)]
    choice = tried(monkeypatch, [Step("head", 0.7)], steps)
    assert titles(choice) == ["head", "one", "two", "three"]
    assert choice.winner.candidate.title == "two"


def test_cheap_steps_are_tried_although_the_one_before_did_not_pay(monkeypatch) -> None:
    choice = tried(
        monkeypatch, [Step("head", 0.7)], [Step("one", 0.6, 10), Step("two", 0.9, 20), Step("three", 0.5, 30)]
    )
    assert titles(choice) == ["head", "one", "two", "three"]
    assert choice.winner.candidate.title == "two"


def test_a_skipped_step_ends_its_strategy_and_no_other(monkeypatch) -> None:
    steps = [Step("one", 0.9, 50, skip_reason="too costly"), Step("two", 0.9, 10)]
    choice = tried(monkeypatch, [Step("head", 0.7)], steps, [Step("scratch", 0.8, 50)])
    assert titles(choice) == ["head", "one", "scratch"]
    assert [each.skipped for each in choice.results] == [False, True, False]
    assert choice.results[1].record.reason == "too costly"
    assert choice.winner.candidate.title == "scratch"


def test_a_budget_that_is_used_up_skips_what_trains(monkeypatch) -> None:
    choice = tried(monkeypatch, [Step("head", 0.7)], [Step("one", 0.9, 50)], budget=Budget(10, work_s=100))
    assert choice.results[1].skipped
    assert "s of the budget's remaining" in choice.results[1].record.reason


def test_a_candidate_that_runs_out_of_time_is_skipped_as_a_whole(monkeypatch) -> None:
    slow = Step("slow", 0.9)

    def evaluate(watch: Any) -> Result:
        raise BudgetSpent("stopped in training")

    monkeypatch.setattr(slow, "evaluate", evaluate)
    choice = tried(monkeypatch, [Step("head", 0.7)], [slow, Step("next", 1.0)], [Step("scratch", 0.8)])
    assert titles(choice) == ["head", "slow", "scratch"]
    assert (choice.results[1].record.status, choice.results[1].record.reason) == ("skipped", "stopped in training")
    assert choice.winner.candidate.title == "scratch"


def test_a_winner_that_cannot_be_built_in_time_gives_way_to_the_next_best(monkeypatch) -> None:
    head, slow = Step("head", 0.7), Step("slow", 0.9)

    def too_slow(watch: Any) -> Any:
        raise BudgetSpent("stopped in training")

    monkeypatch.setattr(slow, "build", too_slow)
    monkeypatch.setattr(head, "build", lambda watch: ("network", "preprocess"))
    choice = tried(monkeypatch, [head], [slow])
    assert choice.winner.candidate is slow
    built, network, preprocess = policy.build(choice, Budget(10, work_s=1))
    assert (built.winner.candidate, network, preprocess) == (head, "network", "preprocess")
    assert [each.record.status for each in built.results] == ["done", "skipped"]


def test_epochs_depend_on_sizes_alone() -> None:
    from striate.models import REGISTRY
    from striate.records.recipes import recipe
    from striate.sizing import measure

    layers = measure(REGISTRY.get("lenet5").create(), (1, 32, 32)).layers
    method = recipe("finetune_grey")
    assert estimate_training(layers, method, images=100, work_s=1e6).epochs == method.epochs
    little = estimate_training(layers, method, images=10**7, work_s=1.0)
    assert little.epochs < MIN_EPOCHS
    assert "raise --budget" in little.skip_reason
