"""Our networks, filled with a peer's own file, compute what the peer computes.

Peers come from the package index and are no dependencies: these tests skip where torchvision, timm or keras is missing.
Normalisations get statistics of their own, for with fresh ones a wrong padding or eps hardly shows;
pictures are smooth, and
errors are measured against how much the output changes from one picture to the other.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from striate.models import REGISTRY
from striate.weights import catalogue, load_state_dict, maps, read_state

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # the peers' own
]

Peer = Callable[[Tensor], Tensor]


def pictures(height: int, width: int) -> Tensor:
    """Two smooth pictures with edges, ``[2, 3, h, w]``."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    first = torch.stack([torch.sin(9 * x + 3 * y), torch.cos(7 * y), (x > 0.4).float() - y])
    second = torch.stack([torch.cos(5 * x * y * 3), (y > x).float(), torch.sin(12 * (x - y))])
    return torch.stack([first, second]).double()


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference over the change from one picture to the other."""
    return float((ours - theirs).abs().max() / (theirs[0] - theirs[1]).abs().max())


def stir(peer: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for layer in peer.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor, low in ((layer.running_mean, -0.2), (layer.running_var, 0.6), (layer.bias, -0.2)):
                assert tensor is not None
                tensor.data.copy_(torch.rand(tensor.shape, generator=generator) * 0.8 + low)


def ours_from(name: str, source: str, state: dict[str, Tensor], tag: str | None) -> Peer:
    options = catalogue.find(name, tag).options if tag else {}
    model = REGISTRY.get(name).create(options=options).eval()
    load_state_dict(model, state, source)
    return model.double()


@pytest.mark.parametrize("size", [(224, 224), (193, 257)], ids=str)
@pytest.mark.parametrize("name", ["alexnet", "vgg11", "vgg11_bn", "resnet18", "resnet50", "mobilenet_v2"])
def test_torchvision(name: str, size: tuple[int, int]) -> None:
    models = pytest.importorskip("torchvision.models", exc_type=(ImportError, RuntimeError))
    peer = models.get_model(name).eval()
    stir(peer)
    ours = ours_from(name, "torchvision", peer.state_dict(), "imagenet1k_v1")
    x = pictures(*size)
    with torch.inference_mode():
        assert relative_error(ours(x), peer.double()(x)) < 1e-9


@pytest.mark.parametrize("size", [(224, 224), (193, 257)], ids=str)
@pytest.mark.parametrize(
    ("name", "peer_name", "tag"),
    [
        ("mobilenet_v1", "mobilenetv1_100", "ra4_e3600_r224_in1k"),
        ("mobilenet_v2", "mobilenetv2_100", "ra_in1k"),
        ("resnet34", "resnet34", "a1_in1k"),
        ("vgg11", "vgg11", None),
    ],
)
def test_timm(name: str, peer_name: str, tag: str | None, size: tuple[int, int]) -> None:
    timm = pytest.importorskip("timm", exc_type=(ImportError, RuntimeError))
    if name == "vgg11" and size[0] != size[1]:
        pytest.skip("timm's dense layers slide over larger grids, ours pool adaptively")
    peer = timm.create_model(peer_name).eval()
    stir(peer)
    ours = ours_from(name, "timm", peer.state_dict(), tag)
    x = pictures(*size)
    with torch.inference_mode():
        assert relative_error(ours(x), peer.double()(x)) < 1e-9


def settle(peer: Any, name: str, tag: str) -> None:
    """Give a Keras network the statistics of its own activations: in thin ones, any others drown the pictures."""
    state = {f"{layer.name}/{w.name}": torch.as_tensor(w.value) for layer in peer.layers for w in layer.weights}
    model = REGISTRY.get(name).create(options=catalogue.find(name, tag).options)
    load_state_dict(model, {key: value.detach().cpu() for key, value in state.items()}, "keras")
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the plain mean
    with torch.inference_mode():
        model.train()(pictures(224, 224).float())
    ours = model.state_dict()
    for rule in maps.get("keras", name)(model):
        layer, _, weight = rule.pattern.partition("/")
        if weight.startswith("moving_"):
            each = next(w for w in peer.get_layer(layer).weights if w.name == weight)
            each.assign(ours[rule.target] * 1.1 + 0.01)


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5"])
@pytest.mark.parametrize(
    ("name", "peer_name", "tag", "alpha"),
    [
        ("resnet50", "ResNet50", "keras", None),
        ("vgg16", "VGG16", "keras", None),
        ("mobilenet_v1", "MobileNet", "keras", None),
        ("mobilenet_v1", "MobileNet", "google_0.25", 0.25),
        ("mobilenet_v2", "MobileNetV2", "keras", None),
    ],
)
def test_keras(name: str, peer_name: str, tag: str, alpha: float | None, suffix: str, tmp_path: Path) -> None:
    os.environ["KERAS_BACKEND"] = "torch"
    keras = pytest.importorskip("keras", exc_type=(ImportError, RuntimeError))
    make = getattr(keras.applications, peer_name)
    peer = make(weights=None, classifier_activation=None, **({"alpha": alpha} if alpha else {}))
    generator = torch.Generator().manual_seed(0)
    for layer in peer.layers:
        for weight in layer.weights:
            low = {"moving_mean": -0.2, "moving_variance": 0.6, "beta": -0.2, "bias": -0.2}.get(weight.name)
            if low is not None:
                weight.assign(torch.rand(tuple(weight.shape), generator=generator) * 0.8 + low)
    if name.startswith("mobilenet"):
        settle(peer, name, tag)
    file = tmp_path / f"peer{suffix}"
    (peer.save_weights if suffix == ".weights.h5" else peer.save)(file)
    ours = ours_from(name, "keras", read_state(file), tag)
    x = pictures(224, 224)
    with torch.inference_mode():
        theirs = torch.as_tensor(peer(x.permute(0, 2, 3, 1).float(), training=False)).double().cpu()
        assert relative_error(ours(x), theirs) < 2e-3  # Keras computes in float32
