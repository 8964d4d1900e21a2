"""The layers at which a pretrained network may be cut."""

from __future__ import annotations

from striate.models import REGISTRY, ImageModel


def layers(name: str) -> tuple[str, ...]:
    model = REGISTRY.get(name).create()
    assert isinstance(model, ImageModel)
    return model.probe_layers


def test_a_head_convolution_takes_the_place_of_the_last_stage() -> None:
    assert layers("mobilenet_v2") == ("stem", "stage1", "stage2", "stage3", "head.conv")


def test_other_networks_are_cut_at_every_feature_layer() -> None:
    assert layers("resnet18") == ("stem", "stage1", "stage2", "stage3", "stage4")
    assert layers("vgg11")[-2:] == ("head.fc6", "head.fc7")
