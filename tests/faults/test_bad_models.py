"""Checkpoints and run folders that are damaged, of something else, or hostile, as the command line meets them."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from drawings import draw
from striate.cli.app import app
from striate.core.errors import CheckpointError, InputShapeError, PlanError
from striate.core.events import NoProgress
from striate.jobs import fit, show
from striate.models import entries
from striate.models.lenet import LeNet, LeNetSpec
from striate.records.plans import FitPlan, ShowPlan
from striate.weights import create_model, load_state_dict, save_state


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Images, and a finished run on them."""
    folder = tmp_path_factory.mktemp("models")
    data = draw(folder / "images", 12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRIATE_HOME", str(folder / "home"))
        patch.setenv("STRIATE_OFFLINE", "1")
        plan = FitPlan(data=str(data), backbone="lenet5", engine="torch", work_s=1e-5, scratch=False)
        fit.run(plan, out=folder / "run", progress=NoProgress())
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
    said = refusal("fit", place / "images", "--backbone", f"resnet18:{evil}", "--out", out)
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
    said = refusal("fit", place / "images", "--backbone", f"lenet5:{path}", "--out", tmp_path / "out")
    assert str(path) in said
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_another_network(place: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_state(create_model("resnet20_cifar"), path)
    said = refusal("fit", place / "images", "--backbone", f"lenet5:{path}", "--out", tmp_path / "out")
    assert f"{path} does not fit lenet5" in said
    assert not (tmp_path / "out").exists()


def test_names_that_are_nearly_right(place: Path, tmp_path: Path) -> None:
    data, out = place / "images", tmp_path / "out"
    assert "resnet50" in refusal("fit", data, "--backbone", "resnet5O", "--out", out)
    assert "mnist" in refusal("fit", data, "--backbone", "lenet5:mnits", "--out", out)
    assert "resnet20_cifar" in refusal("train", "resnet20_cifra", data, "--out", out)
    assert "lenet_short" in refusal("train", "lenet5", data, "--recipe", "lenet_shrot", "--out", out)
    assert "did you mean" in refusal("fit", "diggits", "--out", out)
    assert "unknown device 'gpu'" in refusal("fit", data, "--backbone", "lenet5", "--device", "gpu", "--out", out)
    assert not out.exists()


# ---------------------------------------------------------------------- runs to use


@pytest.fixture
def run(place: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(place / "run", tmp_path / "run"))


def predict(place: Path, run: Path) -> str:
    return refusal("predict", run, place / "images/disc/000.png")


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
    "cut off at nothing": {"layer": "stage9"},
    "of other classes": {"classes": ["a", "b"]},
    "with a wrong size": {"preprocess": {"size": [0, 0]}},
    "with a wrong preprocess": {"preprocess": 3},
    "with more in it": {"colour": "red"},
    "of a class twice": {"classes": ["disc", "disc", "square"]},
    "of no classes": {"classes": []},
    **{f"of temperature {value}": {"temperature": value} for value in (0, -1, 1e-300, 1e300, None)},
    "of a temperature that is not a number": b'{"network": "lenet5", "temperature": NaN}',
    "of a temperature that is infinite": {"temperature": float("inf")},
    "with options of 1e12": {"options": {"widths": [10**12] * 3}},
    "with options of 1e8": {"options": {"hidden": 10**8}},
    "of a network that is much larger": {"network": "vgg19", "layer": None},
    "of endless depth": {"network": "resnet18", "options": {"blocks": [50_000] * 4}, "layer": None},
    "nested too deeply": b"[" * 100_000,
    "with a number of 5,000 digits": b'{"format": ' + b"9" * 5000 + b"}",
    "bytes": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("change", CARDS.values(), ids=CARDS)
def test_a_damaged_card(place: Path, run: Path, change: object) -> None:
    path = run / "model.json"
    if isinstance(change, dict):
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    else:
        path.write_bytes(change if isinstance(change, bytes) else str(change).encode())
    assert str(run) in predict(place, run)


PREPROCESSES = {
    "no deviation": {"std": [0.0]},
    "a tiny deviation": {"std": [1e-320]},
    "a negative deviation": {"std": [-1.0]},
    "an infinite mean": {"mean": [float("inf")]},
    "no mean": {"mean": [None]},
    "a range of nothing": {"value_range": [1.0, 1.0]},
    "an endless range": {"value_range": [0.0, float("inf")]},
    "a huge size": {"size": [200_000, 200_000], "resize": None},
    "a size beyond 64 bits": {"size": [10**30, 32], "resize": None},
    "a huge resize": {"resize": 10**9},
}


@pytest.mark.parametrize("change", PREPROCESSES.values(), ids=PREPROCESSES)
def test_a_preprocessing_that_no_image_can_have(place: Path, run: Path, change: dict[str, Any]) -> None:
    path = run / "model.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps(card | {"preprocess": card["preprocess"] | change}))
    assert f"{path} is damaged: preprocess" in predict(place, run)


@pytest.mark.parametrize("cut", [0, 100, -40])
def test_damaged_weights(place: Path, run: Path, cut: int) -> None:
    path = run / "model.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    assert str(run) in predict(place, run)


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
    said = refusal("eval", run, place / "images")
    assert "unfinished" in said


def test_a_plan_or_record_that_is_damaged(place: Path, run: Path) -> None:
    data = place / "images"
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
    assert "no run to resume" in said


# ---------------------------------------------------------------------- states, numbers and images that cannot be


def spoilt(kind: str) -> dict[str, Any]:
    state: dict[str, Any] = {name: value.clone() for name, value in create_model("resnet20_cifar").state_dict().items()}
    if kind == "missing":
        del state["stage2.unit1.residual.conv1.norm.bias"]
    elif kind == "extra":
        state["more.weight"] = torch.zeros(3)
    elif kind == "not finite":
        state["stem.conv.weight"][0, 0, 0, 0] = torch.nan
    elif kind == "not tensors":
        state["stem.conv.weight"] = 3
    else:
        state["stem.conv.weight"] = state["stem.conv.weight"].to(getattr(torch, kind))
    return state


STATES = {
    "missing": r"1 tensors are missing \(stage2.unit1.residual.conv1.norm.bias\)",
    "extra": r"1 are left over \(more.weight\)",
    "not finite": r"infinite values in stem.conv.weight",
    "not tensors": r"more than tensors: stem.conv.weight",
    "int8": r"stem.conv.weight hold int8",
    "bool": r"stem.conv.weight hold bool",
    "complex64": r"stem.conv.weight hold complex64",
}


@pytest.mark.parametrize(("kind", "said"), STATES.items(), ids=STATES)
def test_an_invalid_state_changes_nothing(kind: str, said: str) -> None:
    model = create_model("resnet20_cifar")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=said):
        load_state_dict(model, spoilt(kind))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_other_precisions_are_cast_and_other_classes_named() -> None:
    model = create_model("resnet20_cifar")
    for dtype in ("float16", "bfloat16", "float64"):
        state = {n: t.to(getattr(torch, dtype)) if t.is_floating_point() else t for n, t in model.state_dict().items()}
        assert list(load_state_dict(model, state).cast) == [f"{dtype} to float32"]
    with pytest.raises(CheckpointError, match="classifies 7 classes, the network 10"):
        load_state_dict(model, create_model("resnet20_cifar", classes=7).state_dict())


@pytest.mark.parametrize("number", [0, -1, 1.5, "ten", None, 10**12], ids=repr)
def test_invalid_numbers_of_classes_and_channels_are_rejected(number: Any) -> None:
    if number is not None:
        with pytest.raises(PlanError, match="class"):
            create_model("lenet5", classes=number)
        with pytest.raises(PlanError, match="channel"):
            create_model("lenet5", in_channels=number)
    with pytest.raises(PlanError, match="class"):
        LeNet(LeNetSpec(), classes=number)


def test_images_that_are_not_floating_point() -> None:
    for dtype in (torch.uint8, torch.complex64):
        with pytest.raises(InputShapeError, match="takes floating-point numbers"):
            create_model("lenet5")(torch.zeros(1, 1, 32, 32, dtype=dtype))


FIRSTS = {entry.family: entry for entry in reversed(list(entries()))}


@pytest.mark.parametrize("family", FIRSTS)
def test_show_handles_or_refuses_enormous_and_tiny_images(family: str) -> None:
    entry = FIRSTS[family]
    for side in (1, 1_000_000, 10**9):
        refused = None
        try:
            totals = show.run(ShowPlan(name=entry.name, input=(entry.input[0], side, side))).totals
        except (InputShapeError, PlanError) as error:
            refused = error
        else:
            assert min(totals.macs, totals.activation_bytes) > 0
        assert refused is None or (str(side) in refused.message and refused.hint)


def test_show_refuses_what_cannot_be_counted() -> None:
    assert "too large to count" in refusal("show", "resnet18", "--input", "3x99999999999999999999x5")
    assert "too large to count" in refusal("show", "resnet18", "--classes", "100000000000000000000")
    for wrong in ("-3x224x224", "3x-5x224", "3x0x224", "3x224", "image"):
        result = CliRunner().invoke(app, ["show", "resnet18", f"--input={wrong}"])
        assert result.exit_code == 2
        assert "Traceback" not in result.output
