"""Networks of timm's form: config.json beside the weights, in a folder or in timm's repositories on the hub."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from striate.core.errors import CheckpointError, WeightsNotFoundError
from striate.core.preprocess import Preprocess
from striate.models import REGISTRY
from striate.weights import hub, maps, open_model
from striate.weights.maps.inverse import renamed

CFG = {
    "tag": "some_in1k",
    "input_size": [3, 224, 224],
    "test_input_size": [3, 288, 288],
    "interpolation": "bicubic",
    "crop_pct": 0.875,
    "test_crop_pct": 0.95,
    "crop_mode": "center",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.4, 0.3],
}


def folder(where: Path, network: str = "resnet18", *, classes: int = 4, **config: Any) -> Path:
    """A repository of timm's form."""
    where.mkdir(parents=True)
    entry = REGISTRY.get(network)
    model = entry.classifier(classes=classes)
    save_file(renamed(model.state_dict(), maps.get("timm", entry.family)(model)), where / "model.safetensors")
    named = next(iter(REGISTRY.aliases(network)), network)
    found = {"architecture": named, "num_classes": classes, "num_features": 512, "pretrained_cfg": CFG} | config
    (where / "config.json").write_text(json.dumps(found))
    return where


def test_a_folder_opens_with_its_own_preprocessing_and_classes(tmp_path: Path) -> None:
    opened = open_model(str(folder(tmp_path / "a", label_names=["w", "x", "y", "z"])))
    assert opened.name == "resnet18"
    assert opened.preprocess == Preprocess(
        size=(288, 288), resize=303, interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.4, 0.3)
    )
    assert opened.labels is not None
    assert opened.labels.names == ("w", "x", "y", "z")
    assert opened.weights == str(tmp_path / "a")
    assert not opened.model.training
    assert open_model(f"resnet18:{tmp_path / 'a'}").model.classes == 4
    with pytest.raises(CheckpointError, match="holds resnet18, not resnet34"):
        open_model(f"resnet34:{tmp_path / 'a'}")


def test_timms_names_options_and_old_form_are_understood(tmp_path: Path) -> None:
    opened = open_model(str(folder(tmp_path / "a", "mobilenet_v1", classes=1000)))
    assert opened.name == "mobilenet_v1"
    assert opened.options["padding"] == "symmetric"
    assert opened.labels is not None
    assert opened.labels.name == "imagenet-1k"
    old = {"architecture": "resnet18", **CFG, "num_classes": 4, "crop_mode": "squash", "test_input_size": None}
    (folder(tmp_path / "b") / "config.json").write_text(json.dumps(old))
    opened = open_model(str(tmp_path / "b"))
    assert (opened.preprocess.fit, opened.preprocess.size) == ("stretch", (224, 224))
    assert opened.labels is None


WRONG = {
    "another network": ({"architecture": "vit_base_patch16_224"}, "vit_base_patch16_224, which is not one of our"),
    "changed by arguments": ({"model_args": {"stem_type": "deep"}}, "changes timm's resnet18 by stem_type"),
    "no architecture": ({"architecture": None}, "it names no architecture"),
    "no mean": ({"pretrained_cfg": {"input_size": [3, 9, 9]}}, "damaged: KeyError|damaged: 'mean'"),
    "a deviation of 0": ({"pretrained_cfg": CFG | {"std": [0, 1, 1]}}, "std must be above 0"),
    "a huge size": ({"pretrained_cfg": CFG | {"test_input_size": [3, 10**6, 10**6]}}, "size must be"),
    "a million classes": ({"num_classes": 10**6}, "classifies 4 classes, the network 1000000"),
    "another number of classes": ({"num_classes": 7}, "classifies 4 classes, the network 7"),
    "a number of classes that takes all memory": ({"num_classes": 10**12}, "num_classes must be from 0 to 1,000,000"),
}


@pytest.mark.parametrize(("change", "said"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        open_model(str(folder(tmp_path / "a", **change)))


class Hub:
    """A hub of one repository."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, []

    def snapshot_download(self, repo_id: str, **asked: Any) -> str:
        self.asked.append((repo_id, asked["allow_patterns"]))
        there = asked["cache_dir"] / "snapshots" / ("0" * 40)
        there.mkdir(parents=True, exist_ok=True)
        for name in asked["allow_patterns"]:
            if (self.folder / name).is_file():
                shutil.copy(self.folder / name, there)
        return str(there)


def test_a_repository_of_timm_opens_whether_the_catalogue_lists_it_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = Hub(folder(tmp_path / "a", classes=1000))
    monkeypatch.setattr(hub, "connect", lambda: played)
    monkeypatch.setenv("STRIATE_HOME", str(tmp_path / "home"))
    opened = open_model("hub:timm/resnet18.some_in1k")
    assert played.asked == [("timm/resnet18.some_in1k", ["config.json", "model.safetensors"])]
    assert opened.start["weights"] == "hub:timm/resnet18.some_in1k@000000000000"
    assert opened.labels is not None
    assert opened.model(torch.rand(1, 3, 64, 64)).shape == (1, 1000)
    (tmp_path / "a" / "config.json").unlink()
    shutil.rmtree(tmp_path / "home")
    with pytest.raises(WeightsNotFoundError, match=r"has no config\.json"):
        open_model("hub:timm/resnet18.some_in1k")
