"""Extracted features are those of the network, and come from the cache the second time."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate.core.events import NoProgress
from striate.core.preprocess import Preprocess
from striate.data.index import ImageIndex, scan
from striate.inference.predict import predict_batches
from striate.inference.stage_features import StageFeatures
from striate.models import REGISTRY, ImageModel
from striate.transfer.features import FeatureExtractor, Features

PREPROCESS = Preprocess(size=(32, 32))


@pytest.fixture
def index(tmp_path: Path) -> ImageIndex:
    rng = np.random.default_rng(0)
    for number in range(6):
        folder = tmp_path / "images" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return scan(str(tmp_path / "images"))


def network() -> ImageModel:
    torch.manual_seed(0)
    entry = REGISTRY.get("resnet20_cifar")
    return entry.build(entry.tiny, classes=3, in_channels=3).eval()


def extract(index: ImageIndex, model: ImageModel, folder: Path) -> Features:
    digests = [hashlib.sha256(index.read(i)).hexdigest() for i in range(len(index))]
    extractor = FeatureExtractor(
        name="resnet20_cifar",
        model=model,
        preprocess=PREPROCESS,
        weights_sha256="",
        cache=folder,
        engine="torch",
        device=torch.device("cpu"),
        fast=False,
        progress=NoProgress(),
    )
    return extractor.extract(index, digests, np.arange(len(index)))


def test_features_of_a_layer_are_its_columns_of_the_output(tmp_path, index) -> None:
    model = network()
    features = extract(index, model, tmp_path / "cache")
    module = StageFeatures(model, PREPROCESS)
    whole = predict_batches(
        module, PREPROCESS, index, range(6), width=sum(module.widths.values()), progress=NoProgress(), phase=""
    ).values
    start = 0
    for layer, width in features.widths.items():
        expected = whole[[4, 1], start : start + width].astype(np.float16).astype(np.float32)
        np.testing.assert_allclose(features.at(layer, np.array([4, 1])).numpy(), expected, atol=2e-3)
        start += width


def test_the_cache_serves_the_second_extraction(tmp_path, index) -> None:
    first = extract(index, network(), tmp_path / "cache")
    again = extract(index, network(), tmp_path / "cache")
    assert (first.filled.computed, again.filled.computed, again.filled.found) == (6, 0, 6)
    assert again.agreement == first.agreement
    assert torch.equal(first.at("stage1", np.arange(6)), again.at("stage1", np.arange(6)))
