"""One image to a network's input: the same numbers as our own path, for every form of image, in any DataLoader."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import striate
from striate.core.errors import ImageError, UnknownModelError, UnknownWeightsError
from striate.data.decode import decode
from striate.data.stores import FileStore
from striate.data.transforms import ImageTransform, read_image
from striate.weights.catalogue import entries


def photo(side: int = 60, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side + 17, side), Image.Resampling.BICUBIC))


def jpeg(pixels: np.ndarray, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["resnet20_cifar:cifar10", "lenet5:mnist", "vgg16:keras", "resnet50"])
def test_every_form_gives_what_the_weights_need(name: str, tmp_path: Path) -> None:
    entry = striate.weights.get(name)
    transform = entry.transforms()
    raw = jpeg(photo())
    file = tmp_path / "photo.jpg"
    file.write_bytes(raw)
    pixels = decode(raw, entry.preprocess)
    scale, offset = (torch.tensor(each).view(-1, 1, 1) for each in entry.preprocess.affine())
    want = torch.from_numpy(pixels).permute(2, 0, 1).float() * scale + offset
    forms = [raw, file, str(file), Image.open(file), np.asarray(Image.open(file))]
    for form in forms:
        found = transform(form)
        assert found.dtype == torch.float32
        assert found.is_contiguous()
        assert torch.equal(found, want), type(form)


def test_equals_what_a_classifier_computes_to_the_bit() -> None:
    classifier = striate.load("resnet20_cifar:cifar10")
    images = [photo(seed=seed) for seed in range(3)]
    with torch.inference_mode():
        inputs = torch.stack([classifier.transforms(each) for each in images])
        pixels = torch.from_numpy(np.stack([decode(each, classifier.preprocess) for each in images]))
        assert torch.equal(inputs, classifier.network.input(pixels))
        logits = classifier.network.model(inputs.to(memory_format=torch.channels_last))
        assert torch.equal(logits, classifier.network(pixels))
    found = torch.softmax(logits.double() / classifier.temperature, dim=1).numpy()
    assert classifier.predict_proba(images) == pytest.approx(found, abs=1e-7)


def test_the_image_given_stays_as_it_is() -> None:
    image = Image.open(io.BytesIO(jpeg(photo(600))))
    size = image.size
    striate.weights.get("resnet20_cifar").transforms()(image)
    assert image.size == size
    assert np.array_equal(np.asarray(image).shape[:2][::-1], size)


class Photos(Dataset):
    """As a user writes it."""

    def __init__(self, transform: ImageTransform) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 5

    def __getitem__(self, place: int) -> torch.Tensor:
        return self.transform(photo(seed=place))


def test_works_in_the_workers_of_a_data_loader() -> None:
    transform = striate.weights.get("resnet20_cifar:cifar10").transforms()
    again = pickle.loads(pickle.dumps(transform))
    assert again.preprocess == transform.preprocess
    loader = DataLoader(Photos(again), batch_size=2, num_workers=1, multiprocessing_context="spawn")
    found = torch.cat(list(loader))
    assert torch.equal(found, torch.stack([transform(photo(seed=seed)) for seed in range(5)]))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("nowhere.jpg", "nowhere.jpg cannot be read"),
        (b"words", "holds text"),
        (np.zeros((4, 4), dtype=np.int64), r"an array of int64 \[4, 4\] is not an image"),
        (np.zeros((2, 4, 4, 3), dtype=np.uint8), r"an array of uint8 \[2, 4, 4, 3\]"),
        (np.zeros((0, 4), dtype=np.uint8), "is not an image"),
        (7, "a int is not an image"),
    ],
)
def test_what_is_not_an_image_is_refused(image: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        striate.weights.get("lenet5").transforms()(image)  # pyright: ignore[reportArgumentType]


def test_get_finds_every_entry_and_offers_near_names() -> None:
    for entry in entries():
        assert striate.weights.get(entry.name) is entry
    assert striate.weights.get("resnet50").network == "resnet50"
    assert striate.weights.get("resnet50:default") is striate.weights.get("resnet50")
    with pytest.raises(UnknownModelError, match="resnet50"):
        striate.weights.get("resnet5O")
    with pytest.raises(UnknownWeightsError, match="imagenet1k_v2"):
        striate.weights.get("resnet50:imagenet1k_v3")
    with pytest.raises(UnknownWeightsError, match="no weights are published for plain56"):
        striate.weights.get("plain56_cifar")


def test_a_named_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="not a regular file"):
        read_image(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match=r"pipe\.jpg"):
        FileStore(tmp_path, ["pipe.jpg"]).read(0)
    with pytest.raises(ImageError, match=r"(?i)is a directory"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="not a regular file"):
        read_image("/dev/null")
