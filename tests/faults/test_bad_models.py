"""Checkpoints and run folders that are damaged, of something else, or hostile, as the command line meets them."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from drawings import draw
from striate.cli.app import app
from striate.core.events import Silent
from striate.jobs import fit
from striate.records.plans import FitPlan
from striate.weights import create_model, save_state


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Pictures, and a finished run on them."""
    folder = tmp_path_factory.mktemp("models")
    data = draw(folder / "pictures", 12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRIATE_HOME", str(folder / "home"))
        patch.setenv("STRIATE_OFFLINE", "1")
        plan = FitPlan(data=str(data), backbone="lenet5", engine="torch", work_s=1e-5, scratch=False)
        fit.run(plan, folder / "run", Silent())
        yield folder


def refusal(*command: str | Path) -> str:
    """What a command that must end with exit 1 says: an error, and perhaps a hint; no traceback."""
    result = CliRunner().invoke(app, [str(each) for each in command])
    lines = result.stderr.splitlines()
    assert result.exit_code == 1, result.output
    assert any(line.startswith("error: ") for line in lines), result.output
    assert "Traceback" not in result.output
    assert "not foreseen" not in result.output
    return result.stderr


# ---------------------------------------------------------------------- checkpoints to begin with


class Evil:
    """What runs a command when it is unpickled carelessly."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize("form", ["torch", "bare"])
def test_a_pickle_that_would_execute_something(place: Path, tmp_path: Path, form: str) -> None:
    evil, marker, out = tmp_path / "evil.pth", tmp_path / "marker", tmp_path / "out"
    if form == "torch":
        torch.save({"conv1.weight": torch.zeros(1), "more": Evil(marker)}, evil)
    else:
        evil.write_bytes(pickle.dumps(Evil(marker)))
    said = refusal("fit", place / "pictures", "--backbone", f"resnet18:{evil}", "--out", out)
    assert str(evil) in said
    assert "execut" in said
    assert not marker.exists()
    assert not out.exists()
    with evil.open("rb") as stream:  # the file does what the test says it would
        torch.load(stream, weights_only=False) if form == "torch" else pickle.load(stream)
    assert marker.exists()


@pytest.mark.parametrize("cut", [0, 20, 3000])
def test_a_damaged_checkpoint(place: Path, tmp_path: Path, cut: int) -> None:
    whole, path = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    save_state(create_model("lenet5"), whole)
    path.write_bytes(whole.read_bytes()[:cut])
    said = refusal("fit", place / "pictures", "--backbone", f"lenet5:{path}", "--out", tmp_path / "out")
    assert str(path) in said
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_another_network(place: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_state(create_model("resnet20_cifar"), path)
    said = refusal("fit", place / "pictures", "--backbone", f"lenet5:{path}", "--out", tmp_path / "out")
    assert f"{path} does not fit lenet5" in said
    assert not (tmp_path / "out").exists()


def test_names_that_are_nearly_right(place: Path, tmp_path: Path) -> None:
    data, out = place / "pictures", tmp_path / "out"
    assert "resnet50" in refusal("fit", data, "--backbone", "resnet5O", "--out", out)
    assert "mnist" in refusal("fit", data, "--backbone", "lenet5:mnits", "--out", out)
    assert "resnet20_cifar" in refusal("train", "resnet20_cifra", data, "--out", out)
    assert "lenet_short" in refusal("train", "lenet5", data, "--recipe", "lenet_shrot", "--out", out)
    assert "did you mean" in refusal("fit", "diggits", "--out", out)
    assert "no device is called 'gpu'" in refusal("fit", data, "--backbone", "lenet5", "--device", "gpu", "--out", out)
    assert not out.exists()


# ---------------------------------------------------------------------- runs to use


@pytest.fixture
def run(place: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(place / "run", tmp_path / "run"))


def predict(place: Path, run: Path) -> str:
    return refusal("predict", run, place / "pictures/disc/000.png")


CARDS = {
    "nothing": "",
    "cut": '{"network": "lenet5", "opt',
    "a list": "[]",
    "a word": '"lenet5"',
    "empty": "{}",
    "of a later version": {"format": 2},
    "of no network": {"network": "lenet6"},
    "with an unknown option": {"options": {"depth": 9}},
    "with a wrong option": {"options": {"hidden": -1}},
    "with an option of another kind": {"options": {"widths": 7}},
    "cut off at nothing": {"point": "stage9"},
    "of other classes": {"classes": ["a", "b"]},
    "with a wrong size": {"preprocess": {"size": [0, 0]}},
    "with a wrong preprocess": {"preprocess": 3},
    "with more in it": {"colour": "red"},
    "bytes": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("change", CARDS.values(), ids=CARDS)
def test_a_damaged_card(place: Path, run: Path, change: object) -> None:
    path = run / "model.json"
    if isinstance(change, dict):
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    else:
        path.write_bytes(change if isinstance(change, bytes) else str(change).encode())
    predict(place, run)


@pytest.mark.parametrize("cut", [0, 100, -40])
def test_damaged_weights(place: Path, run: Path, cut: int) -> None:
    path = run / "model.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    assert str(path) in predict(place, run)


def test_weights_that_are_gone_or_of_something_else(place: Path, run: Path) -> None:
    path = run / "model.safetensors"
    path.unlink()
    assert f"there is no file {path}" in predict(place, run)
    save_state(create_model("resnet20_cifar"), path)
    assert f"{path} does not fit the network in model.json" in predict(place, run)


def test_a_run_that_is_not_finished(place: Path, run: Path) -> None:
    for name in ("model.json", "model.safetensors", "metrics.json"):
        (run / name).unlink()
    said = predict(place, run)
    assert f"{run} holds no trained model" in said
    assert "unfinished" in said
    said = refusal("eval", run, place / "pictures")
    assert "unfinished" in said


def test_a_plan_or_record_that_is_damaged(place: Path, run: Path) -> None:
    data = place / "pictures"
    (run / "metrics.json").write_text("{}")
    plan = json.loads((run / "plan.json").read_text())["plan"]
    command = ["fit", data, "--backbone", "lenet5", "--engine", "torch", "--no-scratch", "--out", run]
    plan["work_s"] = FitPlan().work_s
    (run / "plan.json").write_text(json.dumps({"verb": "fit", "plan": plan}))
    assert f"{run / 'metrics.json'} is damaged" in refusal(*command)
    (run / "plan.json").write_text("{")
    assert f"{run / 'plan.json'} is damaged" in refusal(*command)
    assert f"{run / 'plan.json'} is damaged" in refusal("train", "--resume", run)
    (run / "plan.json").write_text("[]")
    assert f"{run / 'plan.json'} is damaged" in refusal(*command)
    assert f"{run / 'plan.json'} is damaged" in refusal("train", "--resume", run)


def test_there_is_no_such_run(place: Path, tmp_path: Path) -> None:
    said = predict(place, tmp_path / "nothing")
    assert str(tmp_path / "nothing") in said
    said = refusal("train", "--resume", tmp_path / "nothing")
    assert "no run to go on with" in said
