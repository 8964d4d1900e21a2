"""A recipe that cuts parts out trains on larger images, and is judged on images of the network's size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from drawings import SHAPES, drawing
from striate.core.events import NoProgress
from striate.data.source import PixelSource
from striate.jobs import train as job
from striate.records import recipes
from striate.records.plans import RuntimeOptions, TrainPlan
from striate.records.recipes import Augment, Recipe

CUTS = Recipe(
    lr=0.05,
    batch=16,
    epochs=2,
    augment=Augment(crop_scale=(0.08, 1.0), flip=True, rand_augment=(1, 9), random_erasing=0.25, mixup=0.8, cutmix=1.0),
    source="test",
)


def test_training_images_are_larger_and_the_others_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for shape, name in enumerate(SHAPES):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(14):
            large = Image.fromarray(drawing(shape, number, colour=True)).resize((60, 50))
            large.save(tmp_path / "data" / name / f"{number}.png")
    shapes: list[tuple[tuple[int, ...], tuple[int, int] | None]] = []

    def spied(pixels: np.ndarray, labels: np.ndarray, recipe: Augment, **more: Any) -> PixelSource:
        shapes.append((pixels.shape[1:], more.get("size")))
        return PixelSource(pixels, labels, recipe, **more)

    monkeypatch.setattr(recipes, "recipe", lambda name: CUTS)
    monkeypatch.setattr("striate.tasks.classify.task.PixelSource", spied)
    plan = TrainPlan(network="resnet20_cifar", data=str(tmp_path / "data"), recipe="cuts", validate=True)
    record = job.run(plan, out=tmp_path / "one", progress=NoProgress()).record
    assert sorted(shapes) == [((32, 32, 3), None), ((44, 44, 3), (32, 32))]
    assert record.validation is not None
    job.run(plan, out=tmp_path / "two", progress=NoProgress(), runtime=RuntimeOptions(workers=1))
    one, two = (load_file(tmp_path / run / "model.safetensors") for run in ("one", "two"))
    assert all((one[name] == two[name]).all() for name in one)
