from __future__ import annotations

import re
import subprocess
import sys

import pytest

from striate.core.errors import DataError, UnknownWeightsError
from striate.models import REGISTRY
from striate.models.registry import with_options
from striate.weights import catalogue, labels, maps


@pytest.mark.parametrize("checkpoint", catalogue.entries(), ids=lambda each: each.name)
def test_every_entry_says_all_that_its_weights_need(checkpoint: catalogue.Checkpoint) -> None:
    entry = REGISTRY.get(checkpoint.network)
    assert entry.name == checkpoint.network, "an alias"
    assert checkpoint.tag == checkpoint.tag.lower() != "default"
    assert maps.get(checkpoint.source, entry.family)
    with_options(entry.spec, checkpoint.options)
    assert len(labels.read(checkpoint.labels)) == entry.classes
    assert checkpoint.preprocess.in_channels == entry.input[0]
    assert checkpoint.preprocess.interpolation in ("nearest", "bilinear", "bicubic", "box", "lanczos")
    assert checkpoint.preprocess.fit in ("crop", "stretch")
    assert checkpoint.licence
    assert checkpoint.url is None or checkpoint.url.startswith("https://")
    assert checkpoint.url is None or checkpoint.url.endswith(f"/{checkpoint.file}")
    assert checkpoint.fetchable or checkpoint.sha256, "brought along, so it must be known in full"
    assert checkpoint.package is None or checkpoint.sha256, "installed by a package, so it must be known in full"
    for digest in checkpoint.digests:
        assert re.fullmatch("[0-9a-f]{64}", digest)
    if checkpoint.sha256_prefix:
        assert re.fullmatch("[0-9a-f]{8}", checkpoint.sha256_prefix)
        assert checkpoint.sha256 is None
    named = re.search(r"-([0-9a-f]{8})\.", checkpoint.file)
    if named and checkpoint.source in ("torchvision", "timm", "akamaster", "lukemelas"):
        assert (checkpoint.sha256 or checkpoint.sha256_prefix or "").startswith(named[1])
    if checkpoint.metric:
        assert 1 < checkpoint.metric.top1 < 100, "percent"


def test_names_and_files_are_unique() -> None:
    known = catalogue.entries()
    assert len({each.name for each in known}) == len(known)
    assert len({each.file for each in known}) == len(known)


def test_better_metrics_come_first() -> None:
    assert [each.tag for each in catalogue.entries_for("resnet50")][:2] == ["imagenet1k_v2", "imagenet1k_v1"]


def test_find_ignores_case_and_offers_near_tags() -> None:
    assert catalogue.find("resnet50", "IMAGENET1K_V2").file == "resnet50-11ad3fa6.pth"
    with pytest.raises(UnknownWeightsError, match="imagenet1k_v1"):
        catalogue.find("resnet50", "imagenet_v1")
    with pytest.raises(UnknownWeightsError, match="known: none"):
        catalogue.find("mlp", "best")


def test_keras_weights_carry_their_conventions() -> None:
    keras = catalogue.find("resnet50", "keras")
    assert keras.options == {"unit.stride_place": "1x1", "eps": 1.001e-5}
    assert keras.preprocess.channels == "bgr"
    scale, offset = keras.preprocess.affine()
    assert scale[0] == pytest.approx(1)
    assert offset == (-103.939, -116.779, -123.68)


def test_the_catalogue_needs_no_torch() -> None:
    code = "import sys, striate.weights.fetch as f; f.entries_for('resnet18'); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_labels_answer_to_synset_name_synonym_and_number() -> None:
    known = labels.read("imagenet-1k")
    for label in ("n01440764", "tench", "Tinca tinca", "0"):
        assert known.index(label) == 0
    assert known.index("great white shark") == known.index("great_white_shark") == 2
    with pytest.raises(
        DataError, match=r"'crane' could mean 2 classes .*n02012849 \(number 134\) and n03126707 \(number 517\)"
    ):
        known.index("crane")  # a bird and a machine
    assert known.index("n02012849") == 134
    assert known.index("no such thing") is None
    assert known.index("1000") is None
    assert labels.read("cifar10").index("ship") == 8
    assert labels.read("mnist").names == tuple("0123456789")
    with pytest.raises(DataError, match="cifar10"):
        labels.read("cifar11")
