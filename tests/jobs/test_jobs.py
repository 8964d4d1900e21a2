"""Jobs are handles: several run in one process at once, each can be watched and cancelled by itself."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn
from torch.nn import functional as F

from drawings import draw
from striate.core.cancel import CancelPoints, CancelToken
from striate.core.draws import draws_from
from striate.core.errors import JobCancelled
from striate.core.events import NoProgress
from striate.jobs import bench, check, models, predict, show, train
from striate.jobs.job import Job
from striate.records import recipes
from striate.records.io import to_json
from striate.records.plans import BenchPlan, CheckPlan, ModelsPlan, PredictPlan, ShowPlan, TrainPlan
from striate.records.recipes import Recipe


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model.safetensors")


class CancelsAtEpoch(NoProgress):
    """Cancels the job that it is given, at the end of an epoch."""

    job: Job[Any, Any]

    def record(self, event: str, facts: Any) -> None:
        if event == "epoch" and facts["epoch"] == 2:
            self.job.cancel()


def test_two_jobs_at_once_give_the_results_of_jobs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them is cancelled while the other trains to its end."""
    monkeypatch.setattr(recipes, "recipe", lambda name: Recipe(lr=0.05, batch=16, epochs=4, source="test"))
    data = draw(tmp_path / "data", 20)

    def plan(seed: int) -> TrainPlan:
        return TrainPlan(network="lenet5", data=str(data), seed=seed)

    alone = [train.run(plan(seed), out=tmp_path / f"alone{seed}").folder for seed in (1, 2)]
    cancels = CancelsAtEpoch()
    one = Job(functools.partial(train.run, out=tmp_path / "one"), plan(1))
    other = cancels.job = Job(functools.partial(train.run, out=tmp_path / "other"), plan(2), progress=cancels)
    one.start()
    other.start()
    with pytest.raises(JobCancelled):
        other.result(120)
    done = one.result(120)
    again = Job(functools.partial(train.run, out=tmp_path / "other"), plan(2)).run()
    for ours, theirs in zip((done.folder, again.folder), alone, strict=True):
        assert all((value == weights(theirs)[name]).all() for name, value in weights(ours).items())
    assert [each.name for each in one.events if each.kind == "record"].count("epoch") == 4
    assert again.record.resumes


def test_draws_of_a_thread_are_those_of_a_seeded_process() -> None:
    network = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.4), nn.Linear(8, 3), nn.Dropout(0.5))
    x = torch.randn(5, 6)

    def drawn() -> list[torch.Tensor]:
        made = nn.Linear(4, 3)
        return [network(x), made.weight, made.bias, F.dropout(x, 0.2), torch.rand(3), torch.empty(2).bernoulli_(0.5)]

    torch.manual_seed(7)
    expected = drawn()
    with draws_from(7):
        torch.manual_seed(1)  # as another thread might, at any moment
        assert all(torch.equal(one, other) for one, other in zip(drawn(), expected, strict=True))


def test_a_job_stops_at_its_next_step_and_runs_once() -> None:
    reached: list[int] = []

    def verb(plan: int, *, progress: Any, cancel: CancelToken) -> int:
        points = CancelPoints(progress, cancel)
        for step in range(plan):
            points.step(step)
            reached.append(step)
            if step == 2:
                job.cancel()
        return plan

    job = Job(verb, 10)
    with pytest.raises(JobCancelled):
        job.run()
    assert (reached, job.done) == ([0, 1, 2], True)
    with pytest.raises(RuntimeError, match="runs once"):
        job.start()
    assert Job(verb, 2).start().result(10) == 2


def test_a_held_token_leaves_the_moment_to_the_block() -> None:
    cancel = CancelToken()
    cancel.cancel()
    with cancel.held():
        cancel.check()
    with pytest.raises(JobCancelled):
        cancel.check()


def _plans(tmp_path: Path) -> dict[str, tuple[Any, Any]]:
    data = draw(tmp_path / "data", 2)
    image = str(next(data.rglob("*.png")))
    return {
        "check": (check.run, CheckPlan(data=str(data))),
        "predict": (predict.run, PredictPlan(model="lenet5:mnist", images=(image, "nowhere.png"))),
        "models": (models.run, ModelsPlan(family="lenet", weights=True)),
        "show": (show.run, ShowPlan(name="lenet5")),
        "bench": (bench.run, BenchPlan(names=("lenet5",), device="cpu", batch=1, seconds=0.0)),
    }


@pytest.mark.parametrize("verb", ["check", "predict", "models", "show", "bench"])
def test_every_verb_is_a_job_with_a_frozen_plan_and_frozen_records(verb: str, tmp_path: Path) -> None:
    run, plan = _plans(tmp_path)[verb]
    found = Job(run, plan).run()
    records = found if isinstance(found, tuple) else (found,)
    assert records
    for each in (plan, *records):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(each, dataclasses.fields(each)[0].name, None)
    assert run(plan) == found or verb == "bench"  # progress and cancel may be left out; times differ


@pytest.mark.parametrize("verb", ["check", "predict", "bench"])
def test_a_verb_that_takes_long_can_be_cancelled(verb: str, tmp_path: Path) -> None:
    run, plan = _plans(tmp_path)[verb]
    job = Job(run, plan)
    job.cancel()
    with pytest.raises(JobCancelled):
        job.run()


def test_json_leaves_out_what_did_not_happen(tmp_path: Path) -> None:
    checked = to_json(check.run(_plans(tmp_path)["check"][1]))
    assert set(checked) == {"classes", "images", "issues"}
    good, bad = to_json(predict.run(_plans(tmp_path)["predict"][1]))
    assert (set(good), set(bad)) == ({"file", "predictions"}, {"file", "predictions", "error"})
