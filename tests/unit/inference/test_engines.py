"""Engines agree with eager float32, or say so."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.core.events import NoProgress
from striate.core.preprocess import Preprocess
from striate.inference import engines
from striate.inference.fold import folded
from striate.inference.stage_features import StageFeatures
from striate.models import REGISTRY, ImageModel

PREPROCESS = Preprocess(size=(64, 64))
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


def network(name: str) -> ImageModel:
    torch.manual_seed(0)
    entry = REGISTRY.get(name)
    model = entry.build(entry.tiny, classes=7, in_channels=3)
    model.train()
    with torch.no_grad():  # statistics that matter
        for _ in range(3):
            model(torch.randn(8, 3, 64, 64) * 2 + 1)
    return model.eval()


SLOW = ("resnet50", "mobilenet_v1", "vgg16_bn")


@pytest.mark.parametrize(
    "name",
    ["mobilenet_v2", "resnet20_cifar", *(pytest.param(each, marks=pytest.mark.slow) for each in SLOW)],
)
@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_every_engine_gives_eager_features(name, engine) -> None:
    features = StageFeatures(network(name), PREPROCESS)
    runner, agreement = engines.make(
        features,
        batch=4,
        image=(64, 64, 3),
        engine=engine,
        device=torch.device("cpu"),
        sample=IMAGES,
        groups=list(features.widths.values()),
        progress=NoProgress(),
    )
    assert agreement.cosine > 0.99999
    with torch.no_grad():
        eager = features.eval()(torch.from_numpy(IMAGES)).numpy()
    got = np.concatenate([runner.run(IMAGES[:4]), runner.run(IMAGES[4:])])
    assert np.abs(got - eager).max() < 1e-3 * np.abs(eager).max()


def test_widths_are_those_of_the_stages() -> None:
    model = network("vgg16_bn")
    features = StageFeatures(model, PREPROCESS)
    parts = features(torch.from_numpy(IMAGES[:2])).split(list(features.widths.values()), dim=1)
    maps = model.forward_stages(features.input(torch.from_numpy(IMAGES[:2])))
    assert list(features.widths) == [*model.stages, "head.fc6", "head.fc7"]
    for name, pooled in zip(features.widths, parts, strict=True):
        if name in maps:
            torch.testing.assert_close(pooled, maps[name].mean((2, 3)))


def test_folding_removes_every_normalisation_after_a_convolution() -> None:
    model = network("mobilenet_v2")
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded(model).modules())
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())


def test_an_engine_that_disagrees_is_replaced_with_a_note(monkeypatch) -> None:
    class Wrong:
        name = "openvino"

        def __init__(self, *args: object, **kwargs: object) -> None:
            pass

        def run(self, pixels: np.ndarray) -> np.ndarray:
            return np.random.default_rng(1).normal(size=(len(pixels), width)).astype(np.float32)

    features = StageFeatures(network("resnet20_cifar"), PREPROCESS)
    width = sum(features.widths.values())
    notes: list[str] = []

    class Listening(NoProgress.__mro__[1]):  # type: ignore[misc]
        def phase(self, *args: object) -> None: ...
        def step(self, done: int) -> None: ...
        def record(self, *args: object) -> None: ...
        def note(self, message: str, **facts: object) -> None:
            notes.append(message)

    monkeypatch.setattr(engines, "OpenVinoEngine", Wrong)
    runner, _ = engines.make(
        features,
        batch=4,
        image=(64, 64, 3),
        engine="auto",
        device=torch.device("cpu"),
        sample=IMAGES,
        groups=list(features.widths.values()),
        progress=Listening(),
    )
    assert runner.name.startswith("torch")
    assert "agree with PyTorch only" in notes[0]


def test_compiling_costs_the_maps_of_one_image_and_no_gradients() -> None:
    traced: list[tuple[int, bool]] = []

    class Watched(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            traced.append((int(pixels.shape[0]), torch.is_grad_enabled()))
            return pixels.float().mean(dim=(1, 2))

    engine = engines.OpenVinoEngine(Watched(), 32, (8, 8, 3))
    assert set(traced) == {(1, False)}
    assert engine.run(np.ones((32, 8, 8, 3), dtype=np.uint8)).shape == (32, 3)
