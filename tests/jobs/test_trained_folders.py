"""The folder of a finished run as the start of another, and wherever else a network with weights is taken."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import errors
from safetensors.numpy import load_file
from safetensors.torch import save_file

import striate
from drawings import draw, drawing
from striate.core.errors import CheckpointError, PlanError, StriateError, WeightsNotFoundError
from striate.core.events import NoProgress
from striate.jobs import evaluate, fit, predict, show
from striate.jobs import train as training
from striate.records import recipes
from striate.records.plans import EvalPlan, FitPlan, PredictPlan, ShowPlan, TrainPlan
from striate.records.recipes import Recipe
from striate.weights import hub, open_model
from striate.weights.fetch import digest

QUICK = Recipe(lr=0.02, batch=12, epochs=2, source="test")


def refit(data: Path, backbone: str | Path, out: Path) -> fit.FitOutcome:
    plan = FitPlan(data=str(data), backbone=str(backbone), engine="torch", work_s=1e-5, scratch=False)
    return fit.run(plan, out=out, progress=NoProgress())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A network trained on one set, and a classifier of other images that began with it."""
    folder = tmp_path_factory.mktemp("trained")
    first = draw(folder / "first", 12)
    second = draw(folder / "second", 12, classes=("b", "c", "d"), first=100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRIATE_HOME", str(folder / "home"))
        patch.setenv("STRIATE_OFFLINE", "1")
        patch.setattr(recipes, "recipe", lambda name: QUICK)
        run = training.run(
            TrainPlan(network="lenet5", data=str(first), recipe="quick"), out=folder / "run", progress=NoProgress()
        )
        done = refit(second, run.folder, folder / "fitted")
        yield SimpleNamespace(folder=folder, second=second, run=run.folder, fitted=done.folder, record=done.record)


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def test_the_record_says_where_the_start_came_from(place: SimpleNamespace) -> None:
    weights = digest(place.run / "model.safetensors")
    for file in ("model.json", "metrics.json"):
        start = read(place.fitted / file)["start"]
        assert start["folder"] == start["weights"] == str(place.run)
        assert start["sha256"] == weights
        assert (start["data"], start["recipe"], start["licence"]) == ("first", "quick", "unknown")
    assert place.record.chosen.backbone == "lenet5"
    assert place.record.chosen.weights == str(place.run)
    assert "trained on first by the recipe quick for 3 classes" in place.record.chosen.note


def test_kept_stages_equal_the_pretrained_ones_bit_for_bit(place: SimpleNamespace) -> None:
    kept = place.record.chosen.reused_stages
    before, after = load_file(place.run / "model.safetensors"), load_file(place.fitted / "model.safetensors")
    shared = [name for name in after if name.split(".")[0] in kept]
    assert shared
    assert all(np.array_equal(before[name], after[name]) for name in shared)
    assert read(place.fitted / "model.json")["preprocess"] == read(place.run / "model.json")["preprocess"]
    assert tuple(read(place.fitted / "model.json")["classes"]) == ("b", "c", "d")


def test_a_fitted_model_can_be_a_start_too(place: SimpleNamespace, tmp_path: Path) -> None:
    done = refit(draw(tmp_path / "third", 12, first=300), place.fitted, tmp_path / "out")
    found = striate.load(done.folder).predict(drawing(1, 900))
    assert {row["label"] for row in found} == {"bars", "disc", "stairs"}


def test_every_way_to_name_a_folder_gives_the_same_network(place: SimpleNamespace) -> None:
    run, pixels = place.run, torch.rand(2, 1, 32, 32)
    named = [striate.create_model(str(run)), striate.create_model("lenet5", weights=run)]
    named += [open_model(f"lenet5:{run}").model, open_model(f"lenet5:{run / 'model.safetensors'}").model]
    named.append(open_model(str(run / "model.safetensors")).model)
    want = named[0](pixels)
    assert all(torch.equal(model(pixels), want) for model in named)
    assert not any(model.training for model in named)
    assert striate.create_model("lenet5", weights=run, classes=9).classes == 9
    colour = open_model(str(run), in_channels=3)
    assert (colour.preprocess.channels, colour.model.in_channels) == ("rgb", 3)
    grey = pixels[:1].expand(1, 3, 32, 32) * 1.0
    same = (pixels[:1] - 0.13) / 0.31, (grey - 0.13) / 0.31
    assert torch.allclose(named[0](same[0]), colour.model(same[1]), atol=1e-4)


def test_other_verbs_take_a_folder(place: SimpleNamespace) -> None:
    score = evaluate.run(
        EvalPlan(model=str(place.fitted), data=str(place.second), engine="torch"), progress=NoProgress()
    )
    assert score.n == 36
    image = str(place.second / "b" / "100.png")
    (row,) = predict.run(PredictPlan(model=str(place.run), images=(image,)), progress=NoProgress())
    assert {each["label"] for each in row.predictions} == {"bars", "disc", "stairs"}
    assert show.run(ShowPlan(name=str(place.run))).totals.params == sum(
        p.numel() for p in striate.create_model(str(place.run)).parameters()
    )


@pytest.fixture
def run(place: SimpleNamespace, tmp_path: Path) -> Path:
    return Path(shutil.copytree(place.run, tmp_path / "run"))


def refusal(backbone: str | Path, place: SimpleNamespace, tmp_path: Path) -> StriateError:
    with pytest.raises(StriateError) as caught:
        refit(place.second, backbone, tmp_path / "out")
    assert caught.value.hint
    assert not (tmp_path / "out").exists()
    return caught.value


def test_an_unfinished_run_is_named(run: Path, place: SimpleNamespace, tmp_path: Path) -> None:
    (run / "model.json").unlink()
    assert f"striate train --resume {run}" in str(refusal(run, place, tmp_path))


def test_what_is_no_run_is_refused(place: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no trained model" in str(refusal(tmp_path / "empty", place, tmp_path))
    assert "there is no folder" in str(refusal(tmp_path / "nothing", place, tmp_path))


def test_another_network_than_was_named_is_refused(run: Path, place: SimpleNamespace, tmp_path: Path) -> None:
    assert "holds lenet5, not resnet20_cifar" in str(refusal(f"resnet20_cifar:{run}", place, tmp_path))
    card = read(run / "model.json")
    (run / "model.json").write_text(json.dumps(card | {"network": "resnet20_cifar"}))
    assert "does not fit the network in model.json" in str(refusal(run, place, tmp_path))


def test_a_flipped_bit_is_noticed(run: Path, place: SimpleNamespace, tmp_path: Path) -> None:
    whole = bytearray((run / "model.safetensors").read_bytes())
    whole[-1] ^= 1
    (run / "model.safetensors").write_bytes(whole)
    assert "damaged or exchanged" in str(refusal(run, place, tmp_path))


@pytest.mark.parametrize("name", ["model.pt", "weights.pkl", "setup.py"])
def test_a_folder_with_something_executable_is_refused(
    name: str, run: Path, place: SimpleNamespace, tmp_path: Path
) -> None:
    (run / name).write_bytes(pickle.dumps({}))
    assert f"holds {name}, which can execute code" in str(refusal(run, place, tmp_path))


def test_a_pickle_in_the_place_of_the_weights_is_refused(run: Path, place: SimpleNamespace, tmp_path: Path) -> None:
    torch.save(load_file(run / "model.safetensors"), run / "model.safetensors")
    assert "not what its name says" in str(refusal(run, place, tmp_path))


# ---------------------------------------------------------------------- the hub, played by folders

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """A hub of one repository, that keeps what it was asked."""

    def __init__(self, folder: Path, *, fails: Exception | None = None) -> None:
        self.folder, self.fails, self.asked = folder, fails, []

    def snapshot_download(self, repo_id: str, **asked: Any) -> str:
        self.asked.append(asked)
        if self.fails is not None:
            raise self.fails
        there = asked["cache_dir"] / "snapshots" / COMMIT
        there.mkdir(parents=True, exist_ok=True)
        for name in asked["allow_patterns"]:
            if (self.folder / name).is_file():
                shutil.copy(self.folder / name, there)
        return str(there)


def test_a_place_on_the_hub_is_pinned_to_its_commit(
    run: Path, place: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STRIATE_OFFLINE")
    (run / "pytorch_model.bin").write_bytes(b"not fetched")
    played = Hub(run)
    monkeypatch.setattr(hub, "connect", lambda: played)
    start = refit(place.second, "hub:somebody/digits@main", tmp_path / "out").record.start
    assert (start["hub"], start["revision"]) == ("somebody/digits", COMMIT)
    assert start["weights"] == f"hub:somebody/digits@{COMMIT[:12]}"
    assert played.asked[0]["revision"] == "main"
    assert played.asked[0]["allow_patterns"] == ["model.json", "model.safetensors"]
    assert not played.asked[0]["local_files_only"]


def test_offline_only_what_is_here_counts(place: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    played = Hub(place.run, fails=errors.LocalEntryNotFoundError("not here"))
    monkeypatch.setattr(hub, "connect", lambda: played)
    with pytest.raises(WeightsNotFoundError, match="downloads are off; unset STRIATE_OFFLINE"):
        open_model("hub:somebody/digits")
    assert played.asked[0]["local_files_only"]


def test_a_repository_of_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    monkeypatch.setattr(hub, "connect", lambda: Hub(tmp_path))
    with pytest.raises(WeightsNotFoundError, match=r"somebody/other has no model\.json"):
        open_model("hub:somebody/other")


@pytest.mark.parametrize("text", ["hub:digits", "hub:a/b/c", "hub:a/b@", "hub:../b c"])
def test_invalid_hub_names_are_rejected(text: str) -> None:
    with pytest.raises(PlanError, match="no place on the hub"):
        open_model(text)


def test_the_name_of_a_network_is_not_a_folder_by_accident(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lenet5").mkdir()
    assert open_model("lenet5").name == "lenet5"
    with pytest.raises(CheckpointError, match="there is no folder runs/nothing"):
        striate.create_model("runs/nothing")
