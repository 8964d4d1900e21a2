"""Every name map accounts for every tensor of the peer whose names it reads, on both sides."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from striate.core.errors import CheckpointError
from striate.core.meta import shapes_only
from striate.models import REGISTRY, ImageModel
from striate.weights import maps
from striate.weights.load import fit, load_state_dict
from striate.weights.maps.rules import Rule

KERAS = {
    "densenet121": "DenseNet121",
    "densenet169": "DenseNet169",
    "densenet201": "DenseNet201",
    "resnet50": "ResNet50",
    "resnet101": "ResNet101",
    "resnet152": "ResNet152",
    "resnet50v2": "ResNet50V2",
    "resnet101v2": "ResNet101V2",
    "resnet152v2": "ResNet152V2",
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    "mobilenet_v1": "MobileNet",
    "mobilenet_v2": "MobileNetV2",
    "inception_v3": "InceptionV3",
    "inception_resnet_v2": "InceptionResNetV2",
    "xception": "Xception",
    **{f"convnext_{size.lower()}": f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")},
    "nasnet_mobile": "NASNetMobile",
    "nasnet_large": "NASNetLarge",
    **{f"tf_efficientnet_b{number}": f"EfficientNetB{number}" for number in range(8)},
}
TIMM = {
    "mobilenet_v1": "mobilenetv1_100",
    "mobilenet_v2": "mobilenetv2_100",
    "xception": "legacy_xception",
    "inception_v3": "inception_v3",
    "inception_resnet_v2": "inception_resnet_v2",
    "nasnet_large": "nasnetalarge",
    "se_resnet50": "legacy_seresnet50",
    "senet154": "legacy_senet154",
}
NO_AUX = "the file has no auxiliary heads"
VGGS = [f"vgg{depth}{suffix}" for depth in (11, 13, 16, 19) for suffix in ("", "_bn")]
DENSENETS = [f"densenet{depth}" for depth in (121, 161, 169, 201)]
RESNETS = [f"resnet{depth}" for depth in (18, 34, 50, 101, 152)]
RESNETS += ["wide_resnet50_2", "wide_resnet101_2", "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"]
CONVNEXTS = [f"convnext_{size}" for size in ("tiny", "small", "base", "large")]
V2_SIZES = ("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge")
EFFICIENTNETS = [f"efficientnet_b{number}" for number in range(8)]
PEERS = [
    *(
        ("torchvision", name, name)
        for name in [
            "alexnet",
            "googlenet",
            "inception_v3",
            "mobilenet_v2",
            *DENSENETS,
            *CONVNEXTS,
            *EFFICIENTNETS,
            *VGGS,
            *RESNETS,
        ]
    ),
    *(
        ("timm", name, TIMM.get(name, name))
        for name in [
            *TIMM,
            *DENSENETS,
            *CONVNEXTS,
            *EFFICIENTNETS,
            *("convnext_xlarge", *(f"convnextv2_{size}" for size in V2_SIZES)),
            *(f"tf_{name}" for name in EFFICIENTNETS),
            *VGGS,
            *RESNETS,
        ]
    ),
    *(("keras", name, peer) for name, peer in KERAS.items()),
]


LIGHT = {(source, REGISTRY.get(name).family): name for source, name, _ in reversed(PEERS)}
SOME = [
    pytest.param(*each, marks=() if LIGHT[each[0], REGISTRY.get(each[1]).family] == each[1] else pytest.mark.slow)
    for each in PEERS
]
"""Of each family and source the first network by default."""


@pytest.fixture(scope="session")
def shapes(shared_data: Path) -> Path:
    folder = shared_data.parent / "reference" / "state_dicts"
    if not folder.is_dir():
        pytest.skip(f"no peers' names at {folder}")
    return folder


@cache
def peer_state(file: Path) -> dict[str, Tensor]:
    rows = json.loads(file.read_text())
    if file.name.startswith("keras."):
        return {f"{layer}/{name}": torch.empty(s, device="meta") for layer, _, weights in rows for name, s in weights}
    return {name: torch.empty(shape, device="meta") for name, shape in rows}


def on_meta(name: str) -> ImageModel:
    with shapes_only():
        return REGISTRY.get(name).create()


@pytest.mark.parametrize(("source", "name", "peer"), SOME, ids=lambda each: str(each))
def test_every_tensor_is_accounted_for(source: str, name: str, peer: str, shapes: Path) -> None:
    state = maps.tidied(peer_state(shapes / f"{source}.{peer}.json"), source)
    model = on_meta(name)
    rules = maps.get(source, REGISTRY.get(name).family)(model)
    found = fit(model, state, rules)
    assert found.complete, (found.extra, found.missing, found.mismatched)
    ours = {each for each in model.state_dict() if source != "keras" or not each.endswith("num_batches_tracked")}
    absent = {each for each in ours if found.fresh.get(each) == NO_AUX}
    assert set(found.tensors) == ours - absent
    assert absent in (set(), {each for each in ours if each.startswith("aux.")})
    needed = next(key for key in state if key not in found.skipped)
    lost = fit(model, {key: value for key, value in state.items() if key != needed}, rules)
    assert lost.missing
    more = fit(model, state | {"another.weight": torch.empty(1, device="meta")}, rules)
    assert more.extra == ["another.weight"]


def test_densenets_older_spellings_mean_the_same() -> None:
    model = on_meta("densenet121")
    new = {"features.denseblock2.denselayer3.norm1.bias", "features.denseblock2.denselayer3.conv2.weight"}
    old = {"features.denseblock2.denselayer3.norm.1.bias", "features.denseblock2.denselayer3.conv.2.weight"}
    torchvision = [row for row in maps.get("torchvision", "densenet")(model) if isinstance(row, Rule)]
    ours = {"stage2.unit3.grow.norm1.bias", "stage2.unit3.grow.conv2.weight"}
    for names in (new, old):
        assert {row.rename(name) for row in torchvision for name in names} - {None} == ours
    keras = [row for row in maps.get("keras", "densenet")(model) if isinstance(row, Rule)]
    for name in ("conv1/bn/gamma", "conv1_bn/gamma"):
        assert {row.rename(name) for row in keras} - {None} == {"stem.norm.weight"}


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_heads_are_read_where_the_network_has_them(name: str, shapes: Path) -> None:
    state = peer_state(shapes / f"torchvision.{name}.json")
    theirs = {each for each in state if each.lower().startswith("aux")}
    found = fit(on_meta(name), state, maps.get("torchvision", name)(on_meta(name)))
    assert not found.skipped
    assert len([each for each in found.tensors if each.startswith("aux.")]) == len(theirs) > 0
    with shapes_only():
        model = REGISTRY.get(name).create(options={"aux": None})
    without = fit(model, state, maps.get("torchvision", name)(model))
    assert without.complete
    assert set(without.skipped) == theirs
    assert set(without.tensors) == set(model.state_dict())


def test_an_unknown_source_or_family_is_refused() -> None:
    model = REGISTRY.get("lenet5").create()
    with pytest.raises(CheckpointError, match="no weights come from"):
        load_state_dict(model, {}, "caffe")
    with pytest.raises(CheckpointError, match="torchvision has no weights of lenet"):
        load_state_dict(model, {}, "torchvision")
