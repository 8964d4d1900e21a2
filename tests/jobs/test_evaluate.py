"""Runs, their snapshots and published models measured alone and together."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

import striate
from drawings import draw, drawing
from striate.core.errors import CheckpointError, DataError, PlanError
from striate.core.events import NoProgress
from striate.jobs import evaluate, predict, train
from striate.records.plans import EvalPlan, PredictPlan, TrainPlan


class Notes(NoProgress):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str, **facts: object) -> None:
        self.said.append(message)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``a`` with three snapshots, and ``b`` of another network."""
    at = tmp_path_factory.mktemp("runs")
    draw(at / "data" / "train", 20, colour=True)
    draw(at / "data" / "test", 12, colour=True, first=1000)
    plan = TrainPlan(network="lenet5", data=str(at / "data"), recipe="lenet_short", epochs=6)
    train.run(dataclasses.replace(plan, snapshots=3), out=at / "a", progress=NoProgress())
    other = dataclasses.replace(plan, network="resnet20_cifar", recipe="cifar_short", epochs=2)
    train.run(other, out=at / "b", progress=NoProgress())
    return at


def plan(runs: Path, model: str = "a", **fields: object) -> EvalPlan:
    return dataclasses.replace(EvalPlan(model=str(runs / model), data=str(runs / "data"), engine="torch"), **fields)


def test_every_network_is_scored_beside_the_ensemble(runs: Path) -> None:
    found = evaluate.run(plan(runs, also=(str(runs / "b"),), tta="mirror"), progress=NoProgress())
    ways = [(row.model, row.tta) for row in (*found.single, *found.ensemble)]
    a, b = str(runs / "a"), str(runs / "b")
    c = "ensemble of 2"
    assert ways == [(a, None), (a, "mirror"), (b, None), (b, "mirror"), (c, None), (c, "mirror")]
    alone = evaluate.run(plan(runs), progress=NoProgress())
    assert (found.single[0].top1, found.single[0].loss) == pytest.approx((alone.top1, alone.loss))
    assert alone.ensemble == ()
    assert found.single[0].gain is None
    last = found.ensemble[-1]
    assert (found.top1, found.loss, found.ece) == (last.top1, last.loss, last.ece)  # the score is that of the last
    for row in (*found.single, *found.ensemble):
        assert row.top1 + row.top1_error == 1
        assert row.top5 + row.top5_error == 1
        assert row.top1_interval[0] <= row.top1 <= row.top1_interval[1]
        if row.gain is not None:
            assert row.gain.top1 == pytest.approx(row.top1 - found.single[0].top1)
            assert row.gain.interval[0] <= row.gain.top1 <= row.gain.interval[1]


@pytest.mark.parametrize("tta", [None, "mirror-shift"])
def test_the_command_python_and_prediction_agree(runs: Path, tta: str | None) -> None:
    """The loss over the test images, from the probabilities of the class that Python users have."""
    models = [runs / "a", runs / "b"]
    found = evaluate.run(plan(runs, also=(str(runs / "b"),), tta=tta), progress=NoProgress())
    files = sorted((runs / "data" / "test").rglob("*.png"))
    both = striate.ensemble(models, tta=tta)
    p = both.predict_proba(files)
    labels = [both.classes.index(file.parent.name) for file in files]
    assert found.loss == pytest.approx(-np.log(p[np.arange(len(files)), labels]).mean(), abs=1e-5)
    each_one = [striate.load(model, tta=tta).predict_proba(files) for model in models]
    assert p == pytest.approx(np.mean(each_one, axis=0))
    asked = PredictPlan(model=str(models[0]), also=(str(models[1]),), tta=tta, images=(str(files[0]),))
    named = {each["label"]: each["probability"] for each in predict.run(asked, progress=NoProgress())[0].predictions}
    assert [named[name] for name in both.classes] == pytest.approx(list(p[0]))


def test_snapshots_are_evaluated_beside_the_last_weights(runs: Path) -> None:
    found = evaluate.run(plan(runs, snapshots=True), progress=NoProgress())
    assert [Path(row.model).name for row in found.single] == ["3.safetensors", "2.safetensors", "1.safetensors"]
    last = evaluate.run(plan(runs), progress=NoProgress())
    assert found.single[0].loss == pytest.approx(last.loss)  # the last snapshot is the run's own model
    assert [row.model for row in found.ensemble] == ["ensemble of 3"]
    second = evaluate.run(plan(runs, "a/snapshots/2.safetensors"), progress=NoProgress())
    assert second.loss == pytest.approx(found.single[1].loss)
    with pytest.raises(CheckpointError, match="holds no snapshots"):
        evaluate.run(plan(runs, "b", snapshots=True), progress=NoProgress())


def test_evaluating_needs_no_training_data(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "data" / "test", tmp_path / "held" / "test")
    shutil.copytree(runs / "data" / "train", tmp_path / "held" / "val")
    both = str(tmp_path / "held")
    of_test = evaluate.run(plan(runs, data=both), progress=NoProgress())
    assert of_test == evaluate.run(plan(runs), progress=NoProgress())
    of_val = evaluate.run(plan(runs, data=both, split="val"), progress=NoProgress())
    assert of_val.n > of_test.n
    shutil.rmtree(tmp_path / "held" / "val")
    assert evaluate.run(plan(runs, data=both, split="test"), progress=NoProgress()) == of_test
    with pytest.raises(DataError, match=r"has no split 'val'; its splits: test"):
        evaluate.run(plan(runs, data=both, split="val"), progress=NoProgress())
    with pytest.raises(DataError, match="no training images: its splits are test"):
        train.run(TrainPlan(network="lenet5", data=both, recipe="lenet_short"), out=tmp_path / "out")


def copied(runs: Path, to: Path, classes: list[str]) -> str:
    """Run ``a`` again, its outputs in the opposite order under these names."""
    shutil.copytree(runs / "a", to)
    card = json.loads((to / "model.json").read_text())
    (to / "model.json").write_text(json.dumps(card | {"classes": classes, "sha256": None}))
    state = load_file(to / "model.safetensors")
    turned = {name: np.ascontiguousarray(t[::-1]) if "logits" in name else t for name, t in state.items()}
    assert any((turned[name] != state[name]).any() for name in state)
    save_file(turned, to / "model.safetensors")
    return str(to)


def test_classes_are_matched_by_name(runs: Path, tmp_path: Path) -> None:
    """The same network with its outputs in another order is the same member; other names are no member."""
    turned = copied(runs, tmp_path / "turned", ["stairs", "disc", "bars"])
    found = evaluate.run(plan(runs, also=(turned,)), progress=NoProgress())
    assert [row.loss for row in (*found.single, *found.ensemble)] == pytest.approx([found.single[0].loss] * 3)
    named = copied(runs, tmp_path / "named", ["stairs", "disc", "poles"])
    with pytest.raises(PlanError, match=r"model 2 does not tell apart the 3 classes.*does not know 'bars'"):
        evaluate.run(plan(runs, also=(named,)), progress=NoProgress())


def test_images_that_were_trained_on_are_counted(runs: Path) -> None:
    notes = Notes()
    new = evaluate.run(plan(runs), progress=notes)
    assert (new.single[0].trained_on, notes.said) == (0, [])
    old = evaluate.run(plan(runs, split="train"), progress=notes)
    assert old.single[0].trained_on == old.n == 60
    assert "60 of 60 images were used to train or select" in notes.said[0]


def test_a_run_without_a_list_of_images_claims_nothing(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "b", tmp_path / "b")
    (tmp_path / "b" / "images.npy").unlink()
    assert (
        evaluate.run(plan(runs, str(tmp_path / "b"), split="train"), progress=NoProgress()).single[0].trained_on is None
    )


def test_copies_elsewhere_are_found_by_content(runs: Path, tmp_path: Path) -> None:
    for place, shape in enumerate(("bars", "disc", "stairs")):
        (tmp_path / shape).mkdir()
        shutil.copy(runs / "data" / "train" / shape / "003.png", tmp_path / shape / "copied.png")
        Image.fromarray(drawing(place, 5000, colour=True)).save(tmp_path / shape / "new.png")
    found = evaluate.run(plan(runs, data=str(tmp_path)), progress=NoProgress())
    assert (found.n, found.single[0].trained_on) == (6, 3)


def test_a_damaged_list_of_images_is_named(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "b", tmp_path / "b")
    (tmp_path / "b" / "images.npy").write_bytes(b"no array")
    with pytest.raises(CheckpointError, match=r"images\.npy cannot be read as a set of images"):
        evaluate.run(plan(runs, model=str(tmp_path / "b")), progress=NoProgress())


def test_images_none_of_which_can_be_read_are_no_score(tmp_path: Path) -> None:
    for digit in "01":
        (tmp_path / digit).mkdir()
        (tmp_path / digit / "a.png").write_bytes(b"no image " + digit.encode())
    with pytest.raises(DataError, match=r"none of the images to test on can be read: .*text, not an image"):
        evaluate.run(EvalPlan(model="lenet5", data=str(tmp_path)), progress=NoProgress())
