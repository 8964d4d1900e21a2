"""Name maps read backwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from striate.core.errors import CheckpointError
from striate.core.meta import shapes_only
from striate.models import REGISTRY
from striate.weights import load_state_dict, maps
from striate.weights.maps.inverse import renamed
from striate.weights.maps.rules import Rule

NETWORKS = {
    "resnet18": ("torchvision", "timm"),
    "densenet121": ("torchvision", "timm"),
    "mobilenet_v2": ("torchvision", "timm"),
    "efficientnet_b0": ("torchvision", "timm"),
    "convnext_tiny": ("torchvision", "timm"),
    "convnextv2_atto": ("timm",),
    "mobilenet_v1": ("timm",),
    "se_resnet50": ("timm",),
    "vgg11_bn": ("torchvision",),
    "alexnet": ("torchvision",),
}
QUICK = ("resnet18", "convnextv2_atto", "mobilenet_v1")
CASES = [
    pytest.param(name, source, marks=() if name in QUICK else pytest.mark.slow)
    for name, sources in NETWORKS.items()
    for source in sources
]
TIMM = {"mobilenet_v1": "mobilenetv1_100", "mobilenet_v2": "mobilenetv2_100", "se_resnet50": "legacy_seresnet50"}


@pytest.mark.parametrize(("name", "source"), CASES)
def test_names_there_and_back_are_the_same(name: str, source: str) -> None:
    entry = REGISTRY.get(name)
    model = entry.classifier(classes=3)
    state = renamed(model.state_dict(), maps.get(source, entry.family)(model))
    assert not set(state) & {each for each in model.state_dict() if "stage" in each and each.endswith("weight")}
    again = entry.classifier(classes=3)
    load_state_dict(again, state, source)
    assert all(torch.equal(tensor, again.state_dict()[each]) for each, tensor in model.state_dict().items())


@pytest.mark.parametrize(("name", "source"), CASES)
def test_names_and_shapes_are_the_peers(name: str, source: str, shared_data: Path) -> None:
    peer = TIMM.get(name, name) if source == "timm" else name
    file = shared_data.parent / "reference" / "state_dicts" / f"{source}.{peer}.json"
    if not file.is_file():
        pytest.skip(f"no peers' names at {file}")
    with shapes_only():
        model = REGISTRY.get(name).create()
    state = renamed(model.state_dict(), maps.get(source, REGISTRY.get(name).family)(model))
    found = {(each, tuple(tensor.shape)) for each, tensor in state.items()}
    there = {(each, tuple(shape)) for each, shape in json.loads(file.read_text())}
    assert {each for each in found ^ there if not each[0].endswith("num_batches_tracked")} == set()


def test_no_name_and_several_names_are_refused() -> None:
    rows = [Rule(r"a\.(\w+)", "b.{1}"), Rule(r"c\.(\w+)", "b.{1}"), Rule(r"d\.(\d)", "e.{1-1}")]
    with pytest.raises(CheckpointError, match=r"several names \(a\.w, c\.w\) for b\.w"):
        renamed({"b.w": torch.ones(1)}, rows)
    with pytest.raises(CheckpointError, match=r"no name for z\.w"):
        renamed({"z.w": torch.ones(1)}, rows)
    assert set(renamed({"e.3": torch.ones(1)}, rows)) == {"d.4"}
