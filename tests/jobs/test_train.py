"""Training from random weights, end to end on a few drawn images."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from drawings import draw
from striate.core.errors import DataError, MissingExtraError, PlanError
from striate.core.events import NoProgress
from striate.jobs import evaluate, step_memory, train_steps
from striate.jobs import train as job
from striate.models import REGISTRY
from striate.records import io, recipes
from striate.records.plans import EvalPlan, RuntimeOptions, TrainPlan
from striate.records.recipes import Recipe, Schedule
from striate.training import checkpoint, loop, trackers

QUICK = Recipe(lr=0.05, batch=16, epochs=3, augment=recipes.Augment(flip=True, translate=0.1), source="test")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = recipes.recipe
    monkeypatch.setattr(recipes, "recipe", lambda name: QUICK if name == "quick" else shipped(name))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    draw(tmp_path / "data", 20, colour=True)
    return tmp_path / "data"


def plan(data: Path, **fields: object) -> TrainPlan:
    return dataclasses.replace(TrainPlan(network="resnet20_cifar", data=str(data), recipe="quick"), **fields)


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model.safetensors")


@pytest.mark.usefixtures("quick")
def test_a_run_leaves_a_model_and_its_evidence(data: Path, tmp_path: Path) -> None:
    done = job.run(plan(data), out=tmp_path / "run", progress=NoProgress())
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert found["data"]["validation"] == 0
    assert found["data"]["train"] + found["data"]["test"] == 60
    assert [row["epoch"] for row in found["curve"]] == [1, 2, 3]
    assert (found["best_epoch"], found["halved_at"], found["resumes"]) == (None, None, [])
    left = {"model.safetensors", "model.json", "metrics.json", "log.jsonl", "predictions.csv", "report.html"}
    assert left <= {f.name for f in done.folder.iterdir()}
    assert len((done.folder / "predictions.csv").read_text().splitlines()) == 1 + found["test"]["n"]
    assert found["data"]["counts"]["disc"]["train"] + found["data"]["counts"]["disc"]["test"] == 20
    assert found["cost"]["params"] == sum(
        p.numel() for p in REGISTRY.get("resnet20_cifar").create(classes=3).parameters()
    )
    assert "Training curves" in (done.folder / "report.html").read_text()
    assert not (done.folder / "work").exists()
    again = job.run(plan(data), out=tmp_path / "run", progress=NoProgress())
    assert io.to_json(again.record) == io.to_json(done.record)


@pytest.mark.usefixtures("quick")
def test_a_page_shows_the_training_while_it_runs(data: Path, tmp_path: Path) -> None:
    pages = []

    class Looking(NoProgress):
        def record(self, event: str, facts: Mapping[str, Any]) -> None:
            if event == "epoch":
                pages.append((tmp_path / "run" / "report.html").read_text())

    job.run(plan(data), out=tmp_path / "run", progress=Looking())
    assert len(pages) == 3
    assert all("Striate is training resnet20_cifar on data" in page for page in pages)
    assert "Striate is training" not in (tmp_path / "run" / "report.html").read_text()


def test_a_user_recipe_and_another_micro_batch(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("lr = 0.05\nbatch = 16\nepochs = 1\n")
    done = job.run(plan(data, recipe=str(file), micro_batch=8), out=tmp_path / "run", progress=NoProgress())
    assert [each.images for each in done.record.micro_batches] == [8]
    assert (done.record.recipe["batch"], done.record.recipe["micro_batch"], len(done.record.curve)) == (16, 8, 1)
    assert json.loads((done.folder / "model.json").read_text())["made"]["recipe"] == "mine"
    with pytest.raises(PlanError, match=r"must divide the recipe.s batch of 16 images; got 5"):
        job.run(plan(data, recipe=str(file), micro_batch=5), out=tmp_path / "other", progress=NoProgress())
    again = job.run(plan(data, recipe=str(file), micro_batch=8), out=tmp_path / "run", progress=NoProgress())
    assert io.to_json(again.record) == io.to_json(done.record)
    file.write_text("lr = 0.06\nbatch = 16\nepochs = 1\n")
    with pytest.raises(PlanError, match="was trained by another recipe of that name"):
        job.run(plan(data, recipe=str(file), micro_batch=8), out=tmp_path / "run", progress=NoProgress())
    file.write_text("lr = 0.05\nbatch = 16\nepochs = 0\n")
    with pytest.raises(PlanError, match=r"mine\.toml is not valid: lr, batch, epochs and steps must be above 0"):
        job.run(plan(data, recipe=str(file)), out=tmp_path / "third", progress=NoProgress())


@pytest.mark.usefixtures("quick")
def test_workers_and_folder_change_no_weight(data: Path, tmp_path: Path) -> None:
    job.run(plan(data), out=tmp_path / "one", progress=NoProgress())
    job.run(plan(data), out=tmp_path / "two", progress=NoProgress(), runtime=RuntimeOptions(workers=2))
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all((one[name] == two[name]).all() for name in one)


@pytest.mark.usefixtures("quick")
def test_a_run_that_began_with_other_images_is_not_restarted_silently(data: Path, tmp_path: Path, monkeypatch) -> None:
    class StopsAtStepThree(NoProgress):
        def step(self, done: int) -> None:
            if done == 3:
                raise KeyboardInterrupt

    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        job.run(plan(data), out=out, progress=StopsAtStepThree(), runtime=RuntimeOptions(save_every_s=0.0))
    state = (out / "work" / "training.safetensors").read_bytes()
    for image in sorted((data / "disc").iterdir())[:10]:
        image.unlink()
    with pytest.raises(PlanError, match="began with other images") as caught:
        job.run(plan(data), out=out, progress=NoProgress())
    assert "training.safetensors" in str(caught.value.hint)
    assert (out / "work" / "training.safetensors").read_bytes() == state


@pytest.mark.usefixtures("quick")
def test_a_run_older_than_a_field_of_its_plan_resumes(data: Path, tmp_path: Path) -> None:
    done = job.run(plan(data, schedule_fraction=0.34), out=tmp_path / "run", progress=NoProgress())
    kept = json.loads((done.folder / "plan.json").read_text())
    del kept["plan"]["snapshots"]
    (done.folder / "plan.json").write_text(json.dumps(kept))
    assert (
        job.run(plan(data, schedule_fraction=0.34), out=done.folder, progress=NoProgress()).record.steps
        == done.record.steps
    )


def test_a_plateau_schedule_holds_out_validation_images(data: Path, tmp_path: Path, monkeypatch) -> None:
    waiting = dataclasses.replace(QUICK, epochs=6, schedule=Schedule(kind="plateau", patience=1))
    monkeypatch.setattr(recipes, "recipe", lambda name: waiting)
    record = job.run(plan(data), out=tmp_path / "run", progress=NoProgress()).record
    assert record.data.validation > 0
    history = [row["top1"] for row in record.curve]
    assert record.validation == max(history)
    assert record.best_epoch == 1 + history.index(max(history))  # the first of the best


@pytest.mark.usefixtures("quick")
def test_a_fraction_of_the_recipe(data: Path, tmp_path: Path) -> None:
    assert (
        len(job.run(plan(data, schedule_fraction=0.34), out=tmp_path / "run", progress=NoProgress()).record.curve) == 1
    )
    with pytest.raises(PlanError, match="schedule_fraction"):
        plan(data, schedule_fraction=1.5)


@pytest.mark.usefixtures("quick")
def test_the_last_the_best_and_each_cycles_weights_are_kept(data: Path, tmp_path: Path) -> None:
    done = job.run(plan(data, snapshots=3, validate=True), out=tmp_path / "run", progress=NoProgress())
    kept = sorted(file.name for file in (done.folder / "snapshots").iterdir())
    assert kept == ["1.safetensors", "2.safetensors", "3.safetensors"]
    assert done.record.snapshots == 3
    last = load_file(done.folder / "last.safetensors")
    of_cycles = [load_file(done.folder / "snapshots" / name) for name in kept]  # a cycle is an epoch here
    assert all((last[name] == of_cycles[-1][name]).all() for name in last)
    assert done.record.best_epoch is not None
    best = weights(done.folder)
    assert all((best[name] == of_cycles[done.record.best_epoch - 1][name]).all() for name in best)
    with pytest.raises(PlanError, match="at least 2"):
        plan(data, snapshots=1)


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_auxiliary_heads_train_where_the_recipe_says_so_and_are_not_kept(
    weight: float, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = REGISTRY.get("googlenet")
    small = dataclasses.replace(whole, spec=whole.tiny, input=(3, 32, 32))
    monkeypatch.setattr(REGISTRY, "get", lambda name: small)
    monkeypatch.setattr(recipes, "recipe", lambda name: dataclasses.replace(QUICK, epochs=1, aux_weight=weight))
    seen: list[int] = []
    real = loop.train
    monkeypatch.setattr(loop, "train", lambda m, *a, **k: seen.append(len(m.model.aux)) or real(m, *a, **k))
    done = job.run(plan(data, network="googlenet"), out=tmp_path / "run", progress=NoProgress())
    assert seen == [2 if weight else 0]
    assert not [name for name in weights(done.folder) if name.startswith("aux.")]
    found = evaluate.run(EvalPlan(model=str(done.folder), data=str(data)), progress=NoProgress())
    assert found.n == 60


@pytest.mark.usefixtures("quick")
def test_a_missing_tracker_is_named(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="'wandb' is not installed; pip install wandb"):
        job.run(plan(data), out=tmp_path / "run", progress=NoProgress(), runtime=RuntimeOptions(trackers=("wandb",)))
    assert not (tmp_path / "run").exists()
    with pytest.raises(PlanError, match="known: tensorboard, wandb, mlflow"):
        RuntimeOptions(trackers=("tensorbored",))


class Stopping(NoProgress):
    """Presses Ctrl-C in the midst of the second epoch."""

    def step(self, done: int) -> None:
        if done == 5:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.usefixtures("quick")
def test_tensorboard_logs_every_epoch_once_in_a_resumed_run(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install 'striate[trackers]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    runtime = RuntimeOptions(trackers=("tensorboard",), save_every_s=0)
    with pytest.raises(KeyboardInterrupt):
        job.run(plan(data, validate=True), out=tmp_path / "run", progress=Stopping(), runtime=runtime)
    record = job.run(plan(data, validate=True), out=tmp_path / "run", progress=NoProgress(), runtime=runtime).record
    assert len(record.resumes) == 1
    told = EventAccumulator(str(tmp_path / "run" / "trackers" / "striate"))
    told.Reload()
    assert set(told.Tags()["scalars"]) == {"loss", "lr", "top1", "images_per_s"}
    for name in ("loss", "lr", "top1"):
        rows = [(each.step, each.value) for each in told.Scalars(name)]
        assert rows == [(row["epoch"], pytest.approx(row[name], rel=1e-6)) for row in record.curve]
    assert len(list((tmp_path / "run").rglob("hparams.yml"))) == 1


def test_a_whitened_run_resumes_where_it_stopped(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "recipe", lambda name: dataclasses.replace(QUICK, epochs=2, whiten=True))
    whole = job.run(plan(data), out=tmp_path / "whole", progress=NoProgress())
    with pytest.raises(KeyboardInterrupt):
        job.run(plan(data), out=tmp_path / "parts", progress=Stopping(), runtime=RuntimeOptions(save_every_s=0))
    assert job.run(plan(data), out=tmp_path / "parts", progress=NoProgress()).record.resumes
    one, two = weights(whole.folder), weights(tmp_path / "parts")
    assert all((one[name] == two[name]).all() for name in one)
    filters = one["stem.conv.weight"]
    assert (filters[:8] == -filters[8:]).all()


def test_a_network_that_cannot_be_whitened_is_refused_before_anything_is_decoded(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "recipe", lambda name: dataclasses.replace(QUICK, whiten=True))
    with pytest.raises(PlanError, match="could be whitened"):
        job.run(plan(data, network="mlp"), out=tmp_path / "run", progress=NoProgress())
    assert not (tmp_path / "run").exists()


COMMAND = "train resnet20_cifar {data} --recipe cifar_short --epochs 24 --workers {workers} --save-every 0 --out {out}"


def command(data: Path, out: Path, workers: int) -> list[str]:
    return [sys.executable, "-m", "striate", *COMMAND.format(data=data, out=out, workers=workers).split()]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_twenty_kills_give_bit_identical_weights(tmp_path: Path, workers: int) -> None:
    """Kill -9 at random moments, inside epochs too; each process takes at least a step before it is killed."""
    draw(tmp_path / "data", 180, colour=True)
    subprocess.run(command(tmp_path / "data", tmp_path / "whole", 0), check=True, capture_output=True)
    out, rng, last_saved = tmp_path / "parts", random.Random(workers), []

    def saved() -> int:
        state = out / "work" / "training.safetensors"
        return checkpoint.read(state)[1]["step"] if state.exists() else 0

    for _ in range(20):
        before, process = saved(), subprocess.Popen(command(tmp_path / "data", out, workers), start_new_session=True)
        while process.poll() is None and saved() == before:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.15))
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the training ended before its last kill"
        last_saved.append(saved())
    subprocess.run(command(tmp_path / "data", out, workers), check=True, capture_output=True)
    one, two = weights(tmp_path / "whole"), weights(out)
    assert all((one[name] == two[name]).all() for name in one)
    found = json.loads((out / "metrics.json").read_text())
    assert found["resumes"] == last_saved
    an_epoch = found["steps"] // 24
    assert any(step % an_epoch for step in last_saved), "none inside an epoch"


@pytest.mark.usefixtures("quick")
def test_a_memory_too_small_for_the_batch_is_recorded(data: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(step_memory, "free_bytes", lambda device: 20_000_000)
    record = job.run(plan(data, epochs=1, precision="float32"), out=tmp_path / "run", progress=NoProgress()).record
    assert record.micro_batches[0].step == 0
    assert 1 < record.micro_batches[0].images < 16
    assert "16 images at a time do not fit into memory" in (tmp_path / "run" / "log.jsonl").read_text()
    monkeypatch.setattr(step_memory, "free_bytes", lambda device: 4_000_000_000)
    roomy = job.run(plan(data, epochs=1, precision="float32"), out=tmp_path / "roomy", progress=NoProgress()).record
    assert [each.images for each in roomy.micro_batches] == [16]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("native", [True, False])
def test_precision_is_what_the_device_computes_in(data: Path, tmp_path: Path, monkeypatch, native: bool) -> None:
    monkeypatch.setattr("striate.jobs.train_steps.native_bf16", lambda device: native)
    record = job.run(plan(data, epochs=1, precision="auto"), out=tmp_path / "run", progress=NoProgress()).record
    assert record.precision == ("bf16" if native else "float32")
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["plan"]["precision"] == "auto"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("change", ["a label", "a class name", "a validation label"])
def test_a_run_that_began_with_other_labels_is_not_resumed(data: Path, tmp_path: Path, change: str) -> None:
    images = sorted(data.glob("*/*.png"))
    splits = dict.fromkeys(images, "train") | dict.fromkeys(images[::5], "val") | dict.fromkeys(images[1::5], "test")
    labels = {image: image.parent.name for image in images}

    def write() -> None:
        rows = [f"{each.relative_to(data)},{labels[each]},{splits[each]}" for each in images]
        (data / "list.csv").write_text("\n".join(["path,label,split", *rows]))

    write()
    asked = plan(data / "list.csv", validate=True)
    with pytest.raises(KeyboardInterrupt):
        job.run(asked, out=tmp_path / "run", progress=Stopping(), runtime=RuntimeOptions(save_every_s=0))
    first = {split: next(each for each in images if splits[each] == split) for split in ("train", "val")}
    other = next(name for name in labels.values() if name != labels[first["train"]])
    if change == "a class name":
        labels = {image: name.replace(other, f"a {other}") for image, name in labels.items()}
    else:
        labels[first["val" if "validation" in change else "train"]] = other
    write()
    with pytest.raises(PlanError, match="began with other images or labels"):
        job.run(asked, out=tmp_path / "run", progress=NoProgress())


class Away(NoProgress):
    """Takes files away when the work has come to some phase."""

    def __init__(self, phase: str, files: list[Path]) -> None:
        self._phase, self._files = phase, files

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        if name == self._phase:
            for file in self._files:
                file.rename(file.with_suffix(".away"))


@pytest.mark.usefixtures("quick")
def test_test_images_that_vanish_after_they_were_tested_do_not_lose_the_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = train_steps.predict_batches

    def then_gone(*given: Any, **options: Any) -> Any:
        outputs = predict(*given, **options)
        for image in data.glob("*/*.png"):
            image.unlink()
        return outputs

    monkeypatch.setattr(train_steps, "predict_batches", then_gone)
    done = job.run(plan(data), out=tmp_path / "run", progress=NoProgress())
    assert len((done.folder / "predictions.csv").read_text().splitlines()) == 1 + done.record.data.test
    assert (done.folder / "report.html").is_file()


@pytest.mark.usefixtures("quick")
def test_a_run_whose_test_images_are_all_away_resumes_when_they_are_back(data: Path, tmp_path: Path) -> None:
    images = sorted(data.glob("*/*.png"))
    with pytest.raises(DataError, match="none of the images to test on can be read"):
        job.run(plan(data), out=tmp_path / "run", progress=Away("evaluating on the test set", images))
    for image in images:
        image.with_suffix(".away").rename(image)
    done = job.run(plan(data), out=tmp_path / "run", progress=NoProgress())
    assert done.record.resumes == (done.record.steps,)
