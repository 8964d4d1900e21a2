"""A task is one folder: a regression is trained, fine-tuned, used and evaluated without any change to another file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate import tasks
from striate.core.errors import PlanError
from striate.core.events import NoProgress
from striate.jobs import evaluate, fit, predict, train
from striate.records.plans import EvalPlan, FitPlan, PredictPlan, TrainPlan

EXAMPLE = Path(__file__).parent / "example"
RECIPE = """
batch = 16
epochs = 40
lr = 0.003
optimizer = "adamw"
"""


@pytest.fixture
def task() -> Iterator[None]:
    tasks.__path__.append(str(EXAMPLE))
    yield
    tasks.__path__.remove(str(EXAMPLE))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A manifest of images whose target is their brightness."""
    rng = np.random.default_rng(0)
    rows = ["path,target,label"]
    for number, target in enumerate(rng.uniform(0, 1, 160)):
        pixels = np.clip(rng.normal(255 * target, 20, (32, 32)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{target:.4f},image {number}")
    (tmp_path / "list.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "short.toml").write_text(RECIPE)
    return tmp_path / "list.csv"


def test_the_example_is_one_folder_of_at_most_150_lines() -> None:
    lines = sum(len(file.read_text().splitlines()) for file in EXAMPLE.rglob("*.py"))
    assert lines <= 150


def test_an_unknown_task_is_refused_with_the_nearest_name(task: None) -> None:
    assert tasks.names() == ("classify", "regress")
    with pytest.raises(PlanError, match=r"no task 'regres'.*did you mean regress"):
        tasks.get("regres")


def test_a_regression_is_trained_used_and_evaluated(task: None, data: Path, tmp_path: Path) -> None:
    plan = TrainPlan(task="regress", network="lenet5", data=str(data), recipe=str(data.with_name("short.toml")))
    run = train.run(plan, out=tmp_path / "run", progress=NoProgress())
    losses = [row["loss"] for row in run.record.curve]
    assert losses[-1] < 0.5 * losses[0]

    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert metrics["task"] == "regress"
    assert metrics["test"]["mae"] < 0.2
    assert metrics["test"]["mae_interval"][0] < metrics["test"]["mae"] < metrics["test"]["mae_interval"][1]
    assert "mean absolute error" in (run.folder / "report.html").read_text()
    rows = list(csv.DictReader((run.folder / "predictions.csv").read_text().splitlines()))
    assert len(rows) == metrics["test"]["n"] == run.record.data.test
    errors = [abs(float(row["label"]) - float(row["prediction"])) for row in rows]
    assert np.mean(errors) == pytest.approx(metrics["test"]["mae"], abs=1e-5)
    again = train.run(plan, out=tmp_path / "run", progress=NoProgress())
    assert again.record == run.record

    file = rows[0]["file"]
    asked = PredictPlan(model=str(run.folder), images=(str(data.with_name(file)), str(data.with_name("none.png"))))
    found, missing = predict.run(asked, progress=NoProgress())
    assert found.predictions[0]["value"] == pytest.approx(float(rows[0]["prediction"]), abs=1e-3)
    assert "cannot be read" in str(missing.error)

    score = evaluate.run(EvalPlan(model=str(run.folder), data=str(data)), progress=NoProgress())
    assert score.n == 160
    assert score.mae == pytest.approx(run.record.test.mae, abs=0.1)
    with pytest.raises(PlanError, match="not a classifier"):
        evaluate.run(EvalPlan(model=str(run.folder), data=str(data), tta="mirror"), progress=NoProgress())


def test_a_regression_is_fitted_by_transfer_learning(task: None, data: Path, tmp_path: Path) -> None:
    plan = FitPlan(task="regress", data=str(data), backbone="lenet5", engine="torch", work_s=0.06)
    run = fit.run(plan, out=tmp_path / "run", progress=NoProgress())

    metrics = json.loads((run.folder / "metrics.json").read_text())
    done = [each for each in metrics["candidates"] if each["status"] == "done"]
    assert metrics["validation"]["r2"] == max(each["validation"]["r2"] for each in done) > 0.5
    assert {each["strategy"] for each in metrics["candidates"]} == {"head", "finetune", "scratch"}
    assert metrics["test"]["r2"] > 0.5
    assert [set(row) >= {"stage", "channels", "loss", "r2", "r2_interval"} for row in metrics["depth"]] == [True] * 4
    again = fit.run(plan, out=tmp_path / "run", progress=NoProgress())
    assert again.finished_before
    assert again.record == run.record

    report = (run.folder / "report.html").read_text()
    assert "mean absolute error" in report
    assert f"has the highest r2 ({max(row.r2 for row in run.record.depth):.3f})" in report
    rows = list(csv.DictReader((run.folder / "predictions.csv").read_text().splitlines()))
    assert len(rows) == metrics["test"]["n"] == metrics["data"]["test"]
    asked = PredictPlan(model=str(run.folder), images=(str(data.with_name(rows[0]["file"])),))
    (found,) = predict.run(asked, progress=NoProgress())
    assert found.predictions[0]["value"] == pytest.approx(float(rows[0]["prediction"]), abs=1e-3)
