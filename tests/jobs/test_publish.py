"""Publishing: what leaves the machine, what must not, and that others can use it."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import errors
from huggingface_hub.repocard import metadata_load
from safetensors.torch import load_file
from typer.testing import CliRunner

import striate
from drawings import draw
from striate.cli.app import app
from striate.core.errors import CheckpointError, PlanError, StriateError, WeightsNotFoundError
from striate.core.events import NoProgress
from striate.core.preprocess import Preprocess
from striate.jobs import fit, publish
from striate.jobs import train as training
from striate.models import REGISTRY
from striate.records import recipes
from striate.records.plans import FitPlan, PublishPlan, TrainPlan
from striate.records.recipes import Recipe
from striate.weights import hub, trained

SECRET = "alices-home"
QUICK = Recipe(lr=0.02, batch=12, epochs=2, source="test")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A training and a classifier fitted from its folder, both below a folder whose name is nobody's business."""
    home = tmp_path_factory.mktemp(SECRET)
    draw(home / "shapes", 12)
    spoilt = home / "shapes" / "disc" / "alices-secret-image.png"
    spoilt.write_bytes(next((home / "shapes" / "bars").iterdir()).read_bytes())  # two names: the record tells of it
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRIATE_HOME", str(home / "cache"))
        patch.setenv("STRIATE_OFFLINE", "1")
        patch.setattr(recipes, "recipe", lambda name: QUICK)
        plan = TrainPlan(network="lenet5", data=str(home / "shapes"), recipe="quick", validate=True)
        first = training.run(plan, out=home / "run", progress=NoProgress()).folder
        again = FitPlan(data=str(home / "shapes"), backbone=str(first), engine="torch", work_s=1e-5, scratch=False)
        second = fit.run(again, out=home / "fitted", progress=NoProgress()).folder
    assert "alices-secret-image" in (first / "metrics.json").read_text()
    assert SECRET in (second / "model.json").read_text()
    return SimpleNamespace(train=first, fit=second, home=home)


def published(run: Path, to: Path, **more: Any) -> Path:
    publish.run(PublishPlan(run=str(run), to=str(to), licence="apache-2.0", **more), progress=NoProgress())
    return to


@pytest.mark.parametrize("verb", ["train", "fit"])
def test_nothing_private_is_published(runs: SimpleNamespace, tmp_path: Path, verb: str) -> None:
    folder = published(getattr(runs, verb), tmp_path / "out")
    assert {each.name for each in folder.iterdir()} == {"model.safetensors", "model.json", "metrics.json", "README.md"}
    names = {each.name for each in runs.home.rglob("*.png")}
    for file in folder.iterdir():
        held = file.read_bytes()
        assert SECRET.encode() not in held
        assert b"alices-secret-image" not in held
        assert str(tmp_path).encode() not in held
        assert not [name for name in names if name.encode() in held]
        assert not re.search(rb"/(?:home|root|tmp|Users)/", held)


@pytest.mark.parametrize("verb", ["train", "fit"])
def test_the_head_is_what_the_hub_reads(runs: SimpleNamespace, tmp_path: Path, verb: str) -> None:
    folder = published(getattr(runs, verb), tmp_path / "out")
    head, figures = metadata_load(folder / "README.md"), json.loads((folder / "metrics.json").read_text())
    assert head is not None
    assert (head["license"], head["library_name"], head["pipeline_tag"]) == (
        "apache-2.0",
        "striate",
        "image-classification",
    )
    (result,) = head["model-index"][0]["results"]
    assert result["dataset"]["name"] == "shapes"
    assert {each["name"]: each["value"] for each in result["metrics"]} == {
        "top-1 accuracy": figures["test"]["top1"],  # and no top-5 accuracy of three classes
        "macro F1": figures["test"]["macro_f1"],
    }
    assert figures["licence"] == json.loads((folder / "model.json").read_text())["licence"] == "apache-2.0"


@pytest.mark.parametrize("verb", ["train", "fit"])
def test_the_code_on_the_card_gives_our_probabilities(
    runs: SimpleNamespace, tmp_path: Path, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = published(getattr(runs, verb), tmp_path / "shapes-for-all")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.jpg").write_bytes((runs.home / "shapes" / "stairs" / "003.png").read_bytes())
    ours, by_hand = re.findall(r"^```python\n(.*?)^```$", (folder / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    exec(ours, {"print": lambda found: None})
    ran: dict[str, Any] = {}
    exec(by_hand, ran)
    want = torch.from_numpy(striate.load(folder).predict_proba(["new.jpg"])[0]).float()
    torch.testing.assert_close(ran["probabilities"], want, atol=1e-4, rtol=1e-3)


def test_what_was_published_is_a_start_for_others(runs: SimpleNamespace, tmp_path: Path) -> None:
    folder = published(runs.train, tmp_path / "out", data_name="drawn shapes")
    card = trained.read_card(folder)
    assert (card.licence, card.made["data"]) == ("apache-2.0", "drawn shapes")
    before, after = striate.create_model(str(runs.train)), striate.create_model(str(folder))
    pixels = torch.rand(1, 1, 32, 32)
    assert torch.equal(before(pixels), after(pixels))
    assert published(runs.train, folder) == folder  # a second time, over the first


def test_other_licences_names_and_classes_are_accepted(runs: SimpleNamespace, tmp_path: Path) -> None:
    hostile = "a: b # <b>|x|</b> \"'\n---"
    plan = PublishPlan(run=str(runs.fit), to=str(tmp_path / "out"), licence=hostile, data_name=hostile)
    publish.run(plan, progress=NoProgress())
    text = (tmp_path / "out" / "README.md").read_text()
    head = yaml.safe_load(text.split("---\n")[1])
    assert (head["license"], head["license_name"]) == ("other", hostile)
    body = text.split("\n---\n", 1)[1]
    assert "<b>" not in body
    assert "\n---\n" not in body.replace("| --- |", "")


def refusal(**plan: Any) -> StriateError:
    with pytest.raises(StriateError) as caught:
        publish.run(PublishPlan(**({"licence": "mit"} | plan)), progress=NoProgress())
    assert caught.value.hint
    return caught.value


def test_what_cannot_be_published_is_refused(runs: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"need a licence.*use --licence"):
        PublishPlan(run=str(runs.train))
    with pytest.raises(PlanError, match="only a repository"):
        PublishPlan(run=str(runs.train), licence="mit", private=True)
    assert "there is no run" in str(refusal(run=str(tmp_path / "nothing")))
    assert "holds no trained model" in str(refusal(run=str(tmp_path)))
    out = published(runs.train, tmp_path / "out")
    assert "no finished run" in str(refusal(run=str(out), to=str(tmp_path / "again")))
    (out / "notes.txt").write_text("mine")
    assert "holds something else" in str(refusal(run=str(runs.train), to=str(out)))
    spoilt = Path(shutil.copytree(runs.train, tmp_path / "spoilt"))
    weights = bytearray((spoilt / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (spoilt / "model.safetensors").write_bytes(weights)
    assert isinstance(refusal(run=str(spoilt), to=str(tmp_path / "third")), CheckpointError)
    assert not (tmp_path / "third").exists()


def test_on_the_command_line(runs: SimpleNamespace, tmp_path: Path) -> None:
    command = ["publish", str(runs.train), "--to", str(tmp_path / "out")]
    assert CliRunner().invoke(app, command).exit_code == 2
    done = CliRunner().invoke(app, [*command, "--licence", "mit", "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["files"].keys() == {"model.safetensors", "model.json", "metrics.json", "README.md"}
    assert f"--backbone {tmp_path / 'out'}" in CliRunner().invoke(app, [*command, "--licence", "mit"]).stdout


# ---------------------------------------------------------------------- other libraries' names


@pytest.fixture
def resnet(runs: SimpleNamespace, tmp_path: Path) -> Path:
    """A finished run whose network other libraries have, with a temperature."""
    run = Path(shutil.copytree(runs.train, tmp_path / "resnet"))
    card = trained.read_card(run)
    how = Preprocess(size=(64, 64), resize=73, interpolation="bicubic", mean=(0.2, 0.4, 0.5), std=(0.3, 0.2, 0.1))
    model = REGISTRY.get("resnet18").classifier(classes=len(card.classes))
    card = dataclasses.replace(card, network="resnet18", preprocess=how, temperature=2.0, options={}, layer=None)
    trained.save(run, model, card)
    return run


def test_a_run_by_timms_names_opens_with_the_same_probabilities(resnet: Path, tmp_path: Path) -> None:
    to = published(resnet, tmp_path / "timm", names="timm")
    assert sorted(each.name for each in to.iterdir()) == [
        "README.md",
        "config.json",
        "metrics.json",
        "model.safetensors",
    ]
    ours, theirs = striate.weights.open_model(str(resnet)), striate.weights.open_model(str(to))
    assert theirs.preprocess == ours.preprocess
    assert theirs.labels is not None
    assert ours.labels is not None
    assert theirs.labels.names == ours.labels.names
    assert theirs.load_record.source == "timm"
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(theirs.model(x), ours.model(x) / 2.0)
    assert SECRET not in (to / "config.json").read_text()
    published(resnet, to, names="timm")  # again into the same folder
    assert "holds something else" in str(refusal(run=str(resnet), to=str(to)))


def test_a_run_by_torchvisions_names_is_a_file_of_torchvision(resnet: Path, tmp_path: Path) -> None:
    to = published(resnet, tmp_path / "tv", names="torchvision")
    opened = striate.weights.open_model(f"resnet18:{to / 'model.safetensors'}")
    assert opened.load_record.source == "torchvision"
    assert "layer1.0.conv1.weight" in load_file(to / "model.safetensors")
    assert f"resnet18:{to.name}/model.safetensors" in (to / "README.md").read_text()


def test_a_network_that_the_other_library_does_not_have_is_refused(
    runs: SimpleNamespace, resnet: Path, tmp_path: Path
) -> None:
    to = tmp_path / "out"
    assert "timm has no weights of lenet" in str(refusal(run=str(runs.train), to=str(to), names="timm"))
    card = trained.read_card(resnet)
    for change, said in (
        ({"options": {"eps": 1e-3}}, "timm's resnet18 has other options: eps"),
        ({"preprocess": dataclasses.replace(card.preprocess, channels="bgr")}, "takes BGR images"),
    ):
        model = trained.rebuild(card)
        trained.save(resnet, model, dataclasses.replace(card, **change))
        assert said in str(refusal(run=str(resnet), to=str(to), names="timm"))
    assert not to.exists()


# ---------------------------------------------------------------------- the hub


class Hub:
    """A hub that keeps what it is given."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.fails, self.made, self.files = fails, {}, {}

    def create_repo(self, repo_id: str, **how: Any) -> None:
        if self.fails is not None:
            raise self.fails
        self.made[repo_id] = how

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> Any:
        self.files = {each.name: each.read_bytes() for each in Path(folder_path).iterdir()}
        self.message = commit_message
        return SimpleNamespace(oid="f" * 40)


def test_pushing_to_the_hub(runs: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    played = Hub()
    monkeypatch.setattr(hub, "connect", lambda: played)
    plan = PublishPlan(run=str(runs.train), to="hub:somebody/shapes", licence="mit", private=True)
    with pytest.raises(WeightsNotFoundError, match="STRIATE_OFFLINE is set"):
        publish.run(plan, progress=NoProgress())
    assert not played.made
    monkeypatch.delenv("STRIATE_OFFLINE")
    record = publish.run(plan, progress=NoProgress())
    assert played.made == {"somebody/shapes": {"private": True, "exist_ok": True}}
    assert set(played.files) == set(record.files)
    assert b'striate.load("hub:somebody/shapes")' in played.files["README.md"]
    assert (record.commit, record.url) == ("f" * 40, "https://huggingface.co/somebody/shapes")


def test_a_hub_that_does_not_answer(runs: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRIATE_OFFLINE")
    monkeypatch.setattr(hub, "connect", lambda: Hub(errors.LocalTokenNotFoundError("no token")))
    assert "hf auth login" in str(refusal(run=str(runs.train), to="hub:somebody/shapes"))
    assert "a revision cannot be pushed to" in str(refusal(run=str(runs.train), to="hub:somebody/shapes@main"))
