"""Networks of one's own under a name: plain sequences become networks with stages and a head."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import striate
from drawings import draw
from striate.core.errors import PlanError
from striate.models import REGISTRY, ImageModel
from striate.nn.heads import pooled_head
from striate.records import recipes
from striate.records.recipes import Recipe


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(REGISTRY, "_entries", dict(REGISTRY._entries))


def convolutions(in_channels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, stride=2, padding=1),
    ]


def plain(classes: int, in_channels: int) -> nn.Sequential:
    head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, classes)]
    return nn.Sequential(*convolutions(in_channels), *head)


def test_a_sequence_has_stages_where_its_resolution_falls() -> None:
    striate.register_model("plain", plain, input=(3, 32, 32))
    model = striate.create_model("plain", classes=5)
    assert [(each.name, each.channels, each.reduction) for each in model.stage_table] == [
        ("stem", 4, 1),
        ("stage1", 6, 2),
        ("stage2", 8, 4),
    ]
    assert model.head.part_names == ("pool", "fc1", "fc2", "logits")
    assert model.feature_layers == ("stem", "stage1", "stage2", "head.fc1")


def test_it_computes_what_the_sequence_computes() -> None:
    built: list[nn.Sequential] = []

    def kept(classes: int, in_channels: int) -> nn.Sequential:
        built.append(plain(classes, in_channels))
        return built[-1]

    striate.register_model("kept", kept, input=(1, 24, 24))
    model = striate.create_model("kept", classes=3)
    assert model.training
    assert all(layer.training for layer in built[-1])
    x = torch.rand(4, 1, 24, 24)
    assert torch.equal(model.eval()(x), built[-1].eval()(x))
    assert striate.create_model("kept", in_channels=3).in_channels == 3


class Own(ImageModel):
    def __init__(self, *, classes: int, in_channels: int) -> None:
        super().__init__(in_channels=in_channels, classes=classes)
        self.add_stage("stem", nn.Conv2d(in_channels, 8, 3, stride=2), 8, stride=2)
        self.head = pooled_head(8, classes)


def test_a_user_class_and_a_second_registration() -> None:
    striate.register_model("own", plain, input=(3, 32, 32))
    striate.register_model("own", Own, input=(3, 16, 16), classes=7)
    assert isinstance(striate.create_model("own"), Own)
    assert striate.create_model("own").classes == 7


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda classes, in_channels: nn.Sequential(nn.Flatten(), nn.Linear(3072, classes)), "no pooling"),
        (lambda classes, in_channels: nn.Sequential(*convolutions(3), nn.Flatten(), nn.Linear(288, 3)), "10 outputs"),
        (lambda classes, in_channels: nn.Sequential(), "no pooling"),
        (lambda classes, in_channels: nn.Sequential(nn.Conv2d(5, 4, 3), *plain(classes, 4)), "cannot run on an image"),
        (lambda classes, in_channels: nn.Conv2d(3, classes, 3), "a Conv2d"),
    ],
)
def test_invalid_models_are_refused_at_once(build, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        striate.register_model("bad", build, input=(3, 32, 32))
    assert "bad" not in REGISTRY


def test_names_of_the_package_are_refused() -> None:
    with pytest.raises(PlanError, match="'resnet18' is the name of a network of this package"):
        striate.register_model("resnet18", plain, input=(3, 32, 32))


def test_it_trains_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "recipe", lambda name: Recipe(lr=0.02, batch=12, epochs=1, source="test"))
    striate.register_model("plain", plain, input=(3, 32, 32))
    data = draw(tmp_path / "shapes", 10)
    run = striate.train("plain", data, recipe="quick", out=tmp_path / "run")
    again = striate.load(tmp_path / "run")
    file = next(data.rglob("*.png"))
    assert again.predict(file) == run.predict(file)
    assert again.classes == tuple(sorted(each.name for each in data.iterdir()))
    assert striate.features(run, data, stage="head.fc1").values.shape[1] == 16
