"""Fine-tuning changes what is above the cut and nothing else, and resumes to the same weights."""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import Any

import numpy as np
import pytest
import torch

from striate.core.events import NoProgress
from striate.core.preprocess import Preprocess
from striate.models import REGISTRY, ImageModel
from striate.records.recipes import recipe
from striate.tasks.classify.task import Classification
from striate.training import schedule
from striate.training.loop import Trained
from striate.training.options import Saving
from striate.transfer import finetune as module
from striate.transfer import frozen
from striate.transfer.curve import MAX_IMAGES, sampled
from striate.transfer.finetune import Workplace, finetune
from striate.transfer.images import DecodedImages
from striate.transfer.layerwise_lr import layerwise_lr

PREPROCESS = Preprocess(size=(32, 32))
RECIPE = dataclasses.replace(recipe("finetune"), epochs=3, batch=8, lr=1e-2)


def pretrained() -> ImageModel:
    torch.manual_seed(0)
    entry = REGISTRY.get("resnet20_cifar")
    model = entry.build(entry.tiny, classes=3, in_channels=3)
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(8, 3, 32, 32) * 2 + 1)
    return model.eval()


def images() -> DecodedImages:
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    pixels = rng.integers(0, 120, (30, 32, 32, 3), dtype=np.uint8) + (labels * 60)[:, None, None, None].astype(np.uint8)
    return DecodedImages(pixels=pixels, targets=labels, digests=[f"{i:064x}" for i in range(30)])


def tuned(model: ImageModel, folder, cut: str | None, **options) -> Trained:
    return finetune(
        model,
        PREPROCESS,
        images(),
        RECIPE,
        task=Classification(("a", "b", "c")),
        cut=cut,
        seed=0,
        state=folder / "training.safetensors",
        workplace=Workplace(device=torch.device("cpu"), folder=folder, engine="auto", progress=NoProgress()),
        **options,
    )


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("cut", ["stem", "stage2", "stage3"])
def test_nothing_at_or_below_the_cut_changes(tmp_path, monkeypatch, cut, cached) -> None:
    if not cached:
        monkeypatch.setattr(frozen, "MAX_STORED_BYTES", 0)
    model = pretrained()
    before = copy.deepcopy(model.state_dict())
    tuned(model, tmp_path, cut)
    above = (*model.stages_above(cut), "head")
    for name, tensor in model.state_dict().items():
        if name.split(".")[0] not in above:
            assert torch.equal(tensor, before[name]), name
        elif "running" in name or "num_batches" in name:
            assert torch.equal(tensor, before[name]), f"{name}: statistics stay fixed unless asked"
    moved = {name.split(".")[0] for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == set(above)
    assert any(path.name.startswith("maps-") for path in tmp_path.iterdir()) == cached


def test_maps_computed_in_every_epoch_train_like_stored_maps(tmp_path, monkeypatch) -> None:
    """Three epochs see three views either way; on disk they are rounded to half precision."""
    kept, anew = pretrained(), pretrained()
    for name in ("kept", "anew"):
        (tmp_path / name).mkdir()
    tuned(kept, tmp_path / "kept", "stage2")
    monkeypatch.setattr(frozen, "MAX_STORED_BYTES", 0)
    tuned(anew, tmp_path / "anew", "stage2")
    before, ours = pretrained().state_dict(), anew.state_dict()
    for name, value in kept.state_dict().items():
        if value.is_floating_point():
            assert (value - ours[name]).norm() <= 0.02 * (value - before[name]).norm(), name


def test_batch_norm_statistics_above_the_cut_are_updated_on_request(tmp_path) -> None:
    model = pretrained()
    before = copy.deepcopy(model.state_dict())
    tuned(model, tmp_path, "stage1", fixed_statistics=False)
    moved = {n.split(".")[0] for n, t in model.state_dict().items() if "running" in n and not torch.equal(t, before[n])}
    assert moved == {"stage2", "stage3"}


@pytest.mark.parametrize("cut", ["stage2", None])
def test_a_resumed_run_ends_with_the_same_weights(tmp_path, monkeypatch, cut) -> None:
    whole = pretrained()
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    tuned(whole, tmp_path / "whole", cut)
    original, calls = schedule.share, 0

    def stopping(*arguments: Any) -> float:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(module, "Saving", functools.partial(Saving, every_s=0))
    monkeypatch.setattr(schedule, "share", stopping)
    with pytest.raises(KeyboardInterrupt):
        tuned(pretrained(), tmp_path / "parts", cut)
    parts = pretrained()
    tuned(parts, tmp_path / "parts", cut)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, parts.state_dict()[name]), name


def test_learning_rates_fall_with_depth() -> None:
    assert layerwise_lr(["stage3", "stage4"], "model.", ["conv"]) == {
        "model.head.": 2.0,
        "model.head.conv.": 1.0,
        "model.stage4.": 1.0,
        "model.stage3.": 0.5,
    }


def test_a_training_on_other_labels_or_of_other_classes_does_not_resume(tmp_path, monkeypatch) -> None:
    signatures = []
    monkeypatch.setattr(module, "train", lambda *_, saving, **__: signatures.append(saving.signature))
    given, workplace = (
        images(),
        Workplace(device=torch.device("cpu"), folder=tmp_path, engine="auto", progress=NoProgress()),
    )
    for labels, classes in ((0, "abc"), (0, "abc"), (1, "abc"), (0, "acb")):
        each = dataclasses.replace(given, targets=np.roll(given.targets, labels))
        arguments = {"task": Classification(tuple(classes)), "cut": None, "seed": 0, "workplace": workplace}
        finetune(pretrained(), PREPROCESS, each, RECIPE, state=tmp_path / "training.safetensors", **arguments)
    assert signatures[0] == signatures[1]
    assert len(set(signatures)) == 3


@pytest.mark.parametrize("cut", [None, "stage1"])
def test_validation_curves_change_no_weight(tmp_path, cut: str | None) -> None:
    plain, watched, few = pretrained(), pretrained(), images()
    for name in ("plain", "watched"):
        (tmp_path / name).mkdir()
    tuned(plain, tmp_path / "plain", cut)
    held_out = DecodedImages(pixels=few.pixels[:9], targets=few.targets[:9], digests=few.digests[:9])
    curve = tuned(watched, tmp_path / "watched", cut, held_out=held_out).curve
    assert all(
        torch.equal(a, b) for a, b in zip(plain.state_dict().values(), watched.state_dict().values(), strict=True)
    )
    assert len(curve) == RECIPE.epochs
    assert all(0 <= row["top1"] <= 1 and row["validation_loss"] > 0 for row in curve)
    assert curve[0]["validation_loss"] != curve[-1]["validation_loss"]


def test_validation_images_of_a_curve_are_few_and_of_all_classes() -> None:
    positions = np.arange(100, 5100)
    found = sampled(positions, 3 * 224 * 224)
    assert len(found) == MAX_IMAGES
    assert (found[0], found[-1]) == (100, 5099)
    assert np.diff(found).max() <= 17
    assert len(sampled(positions, 2**24)) == 16
    assert len(sampled(positions, 2**40)) == 0
    assert list(sampled(positions[:3], 10)) == [100, 101, 102]
