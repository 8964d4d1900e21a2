"""A first layer that is initialised from the training images instead of at random."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.core.errors import PlanError
from striate.models.pixels import PixelNetwork

_IMAGES, _AT_ONCE = 5000, 16
_LEAST = 5e-4
"""Added to every variance: directions in which patches hardly differ are noise, and stay small."""


@torch.no_grad()
def whiten(network: PixelNetwork, pixels: np.ndarray, rows: np.ndarray) -> None:
    """Let the first convolution take patches apart into their principal directions, and freeze its weights.

    Its maps are then the coordinates along the directions in which patches differ most, once with each sign, as a
    rectifier follows. Each has mean 0 (where the layer has a bias) and variance 1 and is uncorrelated with the others.
    The same images give the same weights.

    Args:
        network: With a first convolution of an even number of maps, at most two for each value of a patch.
        pixels: uint8 ``[rows, h, w, channels]``.
        rows: Where in `pixels` the training images are; up to 5,000 of them are looked at, evenly spread.

    Raises:
        PlanError: The network does not begin with such a convolution.

    Source:
        Page 2018, How to Train Your ResNet; Jordan 2024 (arXiv 2404.00498), section 3.2, there without the mean.
    """
    conv = first_convolution(network)
    mean, covariance = _moments(network, conv, pixels, rows)
    variances, directions = torch.linalg.eigh(covariance)
    half = conv.out_channels // 2
    leading = directions.flip(1)[:, :half] / (variances.flip(0)[:half] + _LEAST).sqrt()
    leading = leading * leading.sum(0).sign()  # the sign is the library's choice
    filters = torch.cat([leading, -leading], 1).T
    conv.weight.copy_(filters.reshape(conv.weight.shape))
    conv.weight.requires_grad_(False)
    if conv.bias is not None:
        conv.bias.copy_(-filters @ mean)


def first_convolution(network: PixelNetwork) -> nn.Conv2d:
    """What `whiten` works on.

    Raises:
        PlanError: The network does not begin with a plain convolution of an even number of maps, at most two for each
            value of a patch.
    """
    stem = network.model.get_submodule(network.model.stages[0])
    conv = next((layer for layer in stem.modules() if isinstance(layer, nn.Conv2d)), None)
    name = type(network.model).__name__
    if conv is None or conv.groups != 1 or conv.in_channels != network.model.in_channels:
        raise PlanError(
            f"{name} does not begin with a plain convolution that could be whitened",
            hint="choose a recipe without whiten, or a network such as airbench94",
        )
    most = 2 * conv.weight[0].numel()
    if conv.out_channels % 2 or conv.out_channels > most:
        raise PlanError(
            f"whitening gives an even number of maps, at most {most} from patches of this size; "
            f"the first convolution of this {name} has {conv.out_channels}",
            hint="choose a recipe without whiten, or a network such as airbench94",
        )
    return conv


def _moments(network: PixelNetwork, conv: nn.Conv2d, pixels: np.ndarray, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the patches inside the images, in float64, which not every accelerator has."""
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(_IMAGES, len(rows))).round().astype(int))]
    values = conv.weight[0].numel()
    total = torch.zeros(values, dtype=torch.float64)
    products = torch.zeros(values, values, dtype=torch.float64)
    count = 0
    for first in range(0, len(chosen), _AT_ONCE):
        part = torch.from_numpy(np.ascontiguousarray(pixels[chosen[first : first + _AT_ONCE]])).to(conv.weight.device)
        patches = F.unfold(network.input(part), conv.kernel_size, dilation=conv.dilation, stride=conv.stride)
        flat = patches.transpose(0, 1).reshape(values, -1).cpu().double()
        total += flat.sum(1)
        products += flat @ flat.T
        count += flat.shape[1]
    mean = total / count
    return mean, products / count - torch.outer(mean, mean)
