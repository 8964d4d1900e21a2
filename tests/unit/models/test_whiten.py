"""A whitened first layer takes the training images' patches apart, and stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.core.errors import PlanError
from striate.core.preprocess import Preprocess
from striate.models import REGISTRY
from striate.models.pixels import PixelNetwork
from striate.models.whiten import whiten
from striate.records.recipes import Recipe
from striate.training import optim


def images(count: int = 20) -> np.ndarray:
    """Smooth noise whose channels go together, as in photos."""
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 1, 8, 8, generator=draw) + 0.3 * torch.rand(count, 3, 8, 8, generator=draw)
    smooth = F.interpolate(coarse, size=32, mode="bilinear")
    noisy = 150 * smooth + 30 * torch.rand(count, 3, 32, 32, generator=draw)
    return noisy.permute(0, 2, 3, 1).to(torch.uint8).numpy()


def classifier(name: str) -> tuple[PixelNetwork, nn.Conv2d]:
    torch.manual_seed(0)
    entry = REGISTRY.get(name)
    network = PixelNetwork(entry.classifier(classes=3), Preprocess(size=(32, 32)))
    return network, next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))


def responses(network: PixelNetwork, conv: nn.Conv2d, pixels: np.ndarray) -> Tensor:
    """What the layer makes of every patch that lies inside an image, ``[maps, patches]``."""
    x = network.input(torch.from_numpy(pixels)).double()
    bias = None if conv.bias is None else conv.bias.double()
    return F.conv2d(x, conv.weight.double(), bias).transpose(0, 1).flatten(1).detach()


def test_maps_have_variance_1_and_do_not_go_together() -> None:
    pixels = images()
    network, conv = classifier("airbench94")
    whiten(network, pixels, np.arange(len(pixels)))
    found = responses(network, conv, pixels)
    assert torch.equal(conv.weight[:12], -conv.weight[12:])
    assert float(found.mean(1).abs().max()) < 1e-4
    covariance = torch.cov(found[:12])
    torch.testing.assert_close(covariance, torch.eye(12).double(), atol=0.06, rtol=0)  # a little is added to variances


def test_few_maps_take_the_directions_that_differ_most() -> None:
    pixels = images()
    network, conv = classifier("resnet20_cifar")
    whiten(network, pixels, np.arange(len(pixels)))
    x = network.input(torch.from_numpy(pixels)).double()
    patches = F.unfold(x, 3).transpose(0, 1).flatten(1)
    largest = torch.linalg.eigvalsh(torch.cov(patches)).flip(0)[:8]
    # a filter of length 1 / sqrt(variance) along each direction
    torch.testing.assert_close(conv.weight[:8].double().flatten(1).norm(dim=1) ** -2, largest, rtol=1e-2, atol=1e-3)


def test_whitening_uses_only_training_images_in_any_order() -> None:
    pixels, rows = images(), np.arange(0, 20, 2)
    alone, other = classifier("airbench94"), classifier("airbench94")
    whiten(alone[0], pixels[::2], np.arange(10))
    pixels[1::2] = 0
    whiten(other[0], pixels, rows[::-1])
    torch.testing.assert_close(alone[1].weight, other[1].weight, rtol=1e-4, atol=1e-5)


def test_the_weights_stay_and_the_bias_learns() -> None:
    pixels = images(4)
    network, conv = classifier("airbench94")
    whiten(network, pixels, np.arange(4))
    weight, bias = conv.weight.clone(), conv.bias.detach().clone()  # pyright: ignore[reportOptionalMemberAccess]
    optimizer = optim.make(network, Recipe(lr=0.1))
    F.cross_entropy(network(torch.from_numpy(pixels)), torch.tensor([0, 1, 2, 0])).backward()
    optimizer.step()
    assert torch.equal(conv.weight, weight)
    assert not torch.equal(conv.bias, bias)


@pytest.mark.parametrize(("name", "says"), [("mlp", "no|not begin"), ("vgg11", "at most 54 .* has 64")])
def test_a_network_that_cannot_be_whitened_is_named(name: str, says: str) -> None:
    entry = REGISTRY.get(name)
    shape = entry.input
    with torch.device("meta"):
        network = PixelNetwork(entry.classifier(), Preprocess(size=(32, 32)))
    with pytest.raises(PlanError, match=says):
        whiten(network, np.zeros((1, *shape[1:], shape[0]), np.uint8), np.arange(1))
