"""Batched prediction takes any images, leaves unreadable ones out, and agrees with the network itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from striate.core.events import NoProgress
from striate.core.preprocess import Preprocess
from striate.inference.predict import ImageList, Outputs, predict_batches
from striate.models import REGISTRY
from striate.models.pixels import PixelNetwork
from striate.records.tta import tta_policy

PREPROCESS = Preprocess(size=(32, 32))
IMAGES = list(np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8))


def network() -> PixelNetwork:
    torch.manual_seed(0)
    entry = REGISTRY.get("resnet20_cifar")
    return PixelNetwork(entry.build(entry.tiny, classes=3, in_channels=3), PREPROCESS).eval()  # type: ignore[arg-type]


def predict(images: list, **options) -> Outputs:
    return predict_batches(
        network(),
        PREPROCESS,
        ImageList(images),
        range(len(images)),
        width=3,
        progress=NoProgress(),
        phase="",
        **options,
    )


def test_the_eager_engine_gives_the_networks_own_bits() -> None:
    found = predict(IMAGES[:1], engine="eager")
    with torch.inference_mode():
        expected = network()(torch.from_numpy(IMAGES[0][None])).numpy()
    assert (found.values == expected).all()


def test_unreadable_images_are_left_out_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    found = predict([IMAGES[0], tmp_path / "broken.jpg", IMAGES[1], tmp_path / "missing.jpg"], engine="eager", batch=2)
    assert found.positions.tolist() == [0, 2]
    assert sorted(found.unreadable) == [1, 3]
    assert "missing.jpg" in found.unreadable[3]
    assert len(predict([tmp_path / "missing.jpg"]).values) == 0


def test_batches_do_not_change_outputs() -> None:
    np.testing.assert_allclose(predict(IMAGES, batch=2).values, predict(IMAGES, batch=5).values, atol=1e-5)


def test_copies_are_averaged() -> None:
    both = predict([IMAGES[0]], tta=tta_policy("mirror"), join=lambda views: views.mean(axis=0)).values
    mirrored = np.ascontiguousarray(IMAGES[0][:, ::-1])
    np.testing.assert_allclose(both, predict([IMAGES[0], mirrored]).values.mean(axis=0, keepdims=True), atol=1e-5)
