"""Pretrained networks for images of other channels: the first convolution is folded, and nothing is retrained."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from striate.core.errors import PlanError
from striate.core.preprocess import Preprocess
from striate.models.network import ImageModel

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, red, green, blue


def to_grey(model: ImageModel, preprocess: Preprocess) -> Preprocess:
    """Make a colour network take grey images, answering as it does to the same image in all three channels.

    With ``x_c = (v - m_c) / s_c`` before and ``x = (v - m) / s`` after, m and s the means over the channels, a filter
    becomes ``w = sum_c w_c s / s_c``, and the constant ``sum_c w_c (m - m_c) / s_c`` moves into the bias, or off the
    running mean of the normalisation that follows. This is exact but for one thing: where a window hangs over the
    image's edge, padded zeros do not carry their part of the constant. Where all m_c are equal it is nothing.

    Args:
        model: The network, changed in place.
        preprocess: What it takes now.

    Returns:
        What it takes then.
    """
    mean, std = sum(preprocess.mean) / len(preprocess.mean), sum(preprocess.std) / len(preprocess.std)
    after = replace(preprocess, channels="grey", mean=(mean,), std=(std,))
    _fold(model, preprocess, after, torch.ones(3, 1))
    return after


def to_colour(model: ImageModel, preprocess: Preprocess) -> Preprocess:
    """Make a grey network take colour images, answering as it does to their luma. Exact, edges included.

    Args:
        model: The network, changed in place.
        preprocess: What it takes now.

    Returns:
        What it takes then.
    """
    after = replace(preprocess, channels="rgb", mean=preprocess.mean * 3, std=preprocess.std * 3)
    _fold(model, preprocess, after, torch.tensor([LUMA]))
    return after


def to_bands(model: ImageModel, channels: int) -> None:
    """Make a network take images of any number of bands: filters repeat in turn, scaled by old over new channels.

    Nothing is known of the bands, so no rule can be exact; this one keeps the first convolution's answer to an image
    whose (normalised) bands are alike, when the old filters of all channels are alike, and its size otherwise.

    Args:
        model: The network, changed in place.
        channels: Bands of the images.
    """
    conv = _first_convolution(model)
    order = torch.arange(channels) % conv.in_channels
    _replace(model, conv, conv.weight.detach()[:, order] * (conv.in_channels / channels))


def _fold(model: ImageModel, before: Preprocess, after: Preprocess, mix: Tensor) -> None:
    """Put `mix` (what each old channel is made of, ``[old, new]``) and both normalisations into the first filters."""
    conv = _first_convolution(model)
    weight = conv.weight.detach().double()
    old_mean, old_std = (torch.tensor(each, dtype=torch.float64) for each in (before.mean, before.std))
    new_mean, new_std = (torch.tensor(each, dtype=torch.float64) for each in (after.mean, after.std))
    mix = mix.double()
    scale = mix * new_std / old_std[:, None]
    shift = (mix @ new_mean - old_mean) / old_std
    constant = torch.einsum("oihw,i->o", weight, shift).to(conv.weight.dtype)
    if conv.bias is not None:
        conv.bias.data += constant
    elif shift.abs().max() > 1e-9:  # means that are alike may differ by rounding
        _following_mean(model, conv).sub_(constant)
    _replace(model, conv, torch.einsum("oihw,ij->ojhw", weight, scale).to(conv.weight.dtype))


def _replace(model: ImageModel, conv: nn.Conv2d, weight: Tensor) -> None:
    conv.weight = nn.Parameter(weight.contiguous(), requires_grad=conv.weight.requires_grad)
    conv.in_channels = model.in_channels = weight.shape[1]


def _first_layers(model: ImageModel) -> list[nn.Module]:
    """The single layers of the stem, in the order in which they run; whatever its modules are nested in."""
    return [layer for layer in model.get_submodule(model.stages[0]).modules() if not list(layer.children())]


def _first_convolution(model: ImageModel) -> nn.Conv2d:
    first = next((layer for layer in _first_layers(model) if isinstance(layer, nn.Conv2d | nn.Linear)), None)
    if not isinstance(first, nn.Conv2d) or first.groups != 1:
        raise PlanError(
            f"a {type(model).__name__} does not begin with a plain convolution that could be folded",
            hint="build it with in_channels=... and random weights",
        )
    return first


def _following_mean(model: ImageModel, conv: nn.Conv2d) -> Tensor:
    """The running mean of what normalises the convolution's maps; a later stage's need not be all that reads them."""
    layers = _first_layers(model)
    after = next(iter(layers[next(place for place, layer in enumerate(layers) if layer is conv) + 1 :]), None)
    if not isinstance(after, nn.BatchNorm2d) or after.running_mean is None:
        raise PlanError(
            f"the first convolution of this {type(model).__name__} has nowhere to put a constant",
            hint="normalise all channels by the same mean, or build it with in_channels=... and random weights",
        )
    return after.running_mean
