"""Peers with random states in which everything matters.

A fresh network hides faults: zero biases, unit scales, layer scales of 1e-6, batch statistics of (0, 1) let a lost
tensor or a wrong eps pass. So every constant tensor is drawn anew, and the batch statistics become those of real
activations, somewhat off.
"""

from __future__ import annotations

import os
import re
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

MEAN = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(1, 3, 1, 1)
COUNTED = re.compile(r"(\w+?)(?:_\d+)?")
UNNAMED = {"conv2d", "depthwise_conv2d", "separable_conv2d", "batch_normalization", "layer_normalization"}
UNNAMED |= {"normalization", "dense"}


def images(count: int, height: int, width: int, seed: int) -> Tensor:
    """Images with structure at every scale, ``[count, 3, height, width]``: white noise hides a shift by a pixel."""
    generator = torch.Generator().manual_seed(seed)
    x = 0.5 * torch.randn(count, 3, height, width, generator=generator, dtype=torch.float64)
    for cells in (4, 12, 40):
        coarse = torch.randn(count, 3, cells, cells, generator=generator, dtype=torch.float64)
        x += F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    return x / x.std()


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference over the largest change from one image to the other.

    Over the output itself it would mean little: mostly bias in some networks, it hid a wrong padding below 1e-4.
    """
    if ours.shape != theirs.shape:
        raise ValueError(f"ours gives {list(ours.shape)}, the peer {list(theirs.shape)}")
    if not bool(torch.isfinite(ours).all() and torch.isfinite(theirs).all()):
        raise ValueError("an output is not finite")
    return float((ours - theirs).abs().max() / (theirs[0] - theirs[1]).abs().max())


# ---------------------------------------------------------------------- torchvision and timm


def torch_peer(source: str, name: str, side: int) -> nn.Module:
    """A network of torchvision or timm in float64, stirred."""
    import shim as shim

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if source == "torchvision":
            from torchvision.models import get_model

            made = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
            peer = get_model(name, weights=None, **made)
        else:
            import timm

            peer = timm.create_model(name, pretrained=False)
    peer = peer.double()
    _stir(peer)
    _calibrate(peer, side)
    return peer.eval()


@torch.no_grad()
def _stir(peer: nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)

    def draw(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=like.dtype)

    for name, parameter in peer.named_parameters():
        first = parameter.flatten()[0]
        if parameter.numel() == 1 or not bool((parameter == first).all()):
            continue
        scales = name.rsplit(".", 1)[-1] in ("weight", "gamma", "layer_scale") and float(first) != 0
        parameter.copy_(1 + 0.25 * draw(parameter).clamp(-2, 2) if scales else 0.1 * draw(parameter))
    if not any(isinstance(each, _BatchNorm | nn.LayerNorm) for each in peer.modules()):
        for layer in peer.modules():  # else the images' influence dies out on the way up
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.weight.mul_((2 / layer.weight[0].numel()) ** 0.5 / layer.weight.std())


@torch.no_grad()
def _calibrate(peer: nn.Module, side: int) -> None:
    norms = [each for each in peer.modules() if isinstance(each, _BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    peer.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    peer(images(4, min(side, 192), min(side, 192), 7))
    generator = torch.Generator().manual_seed(2)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None
        assert variance is not None
        shift = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
        spread = torch.rand(mean.shape, generator=generator, dtype=mean.dtype)
        mean.add_(0.3 * shift * variance.sqrt())
        variance.mul_(0.6 + spread).add_(1e-3)  # what is dead stays finite, and eps still counts


# ---------------------------------------------------------------------- Keras


def keras_peer(name: str, **build: Any) -> Any:
    """A network of Keras in float64 on torch, stirred."""
    keras = _keras()
    keras.utils.set_random_seed(0)
    if name == "NASNetMobile":  # Keras refuses it on torch; what it calls does not
        from keras.src.applications.nasnet import NASNet

        build = {"input_shape": (224, 224, 3)} | build
        settings = {"penultimate_filters": 1056, "num_blocks": 4, "stem_block_filters": 32, "skip_reduction": False}
        peer = NASNet(**settings, filter_multiplier=2, default_size=224, weights=None, **build)
    else:
        if name.startswith("ConvNeXt"):
            build["include_preprocessing"] = False
        peer = getattr(keras.applications, name)(weights=None, **build)
    generator = torch.Generator().manual_seed(3)
    normalised = any("Normalization" in type(layer).__name__ for layer in peer.layers)
    for layer in peer.layers:
        for weight in layer.weights:
            value = torch.as_tensor(weight.numpy()).double()
            noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
            if type(layer).__name__ == "Normalization":
                values = {"mean": MEAN.flatten(), "variance": STD.flatten() ** 2}
                value = values.get(weight.name, value).reshape(value.shape)
            elif weight.name == "kernel" and not normalised:
                value = value * (2 / value[..., 0].numel()) ** 0.5 / value.std()
            elif weight.name in ("gamma", "moving_variance"):
                value = 1 + 0.25 * noise.clamp(-2, 2)
            elif value.ndim == 1:
                value = 0.1 * noise
            weight.assign(value.numpy())
    return peer


def calibrate_keras(peer: Any, name: str) -> None:
    """Give the batch normalisations the statistics of real activations, somewhat off."""
    norms = [layer for layer in peer.layers if type(layer).__name__ == "BatchNormalization"]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    height, width, _ = peer.input_shape[1:]
    with torch.no_grad():
        peer(as_keras(images(4, height, width, 7), name), training=True)
    generator = torch.Generator().manual_seed(4)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        mean = torch.as_tensor(norm.moving_mean.numpy())
        variance = torch.as_tensor(norm.moving_variance.numpy())
        shift = torch.randn(mean.shape, generator=generator, dtype=torch.float64)
        spread = torch.rand(mean.shape, generator=generator, dtype=torch.float64)
        norm.moving_mean.assign((mean + 0.3 * shift * variance.sqrt()).numpy())
        norm.moving_variance.assign((variance * (0.6 + spread) + 1e-3).numpy())


def as_keras(x: Tensor, name: str) -> Tensor:
    """Channels last; EfficientNet, which normalises inside, gets bytes' range."""
    if name.startswith("EfficientNet"):
        x = (x * STD + MEAN) * 255
    return x.permute(0, 2, 3, 1)


def keras_state(peer: Any) -> dict[str, Tensor]:
    """``layer/weight`` to tensor, in Keras' own layouts."""
    return {
        f"{layer.name}/{weight.name}": torch.as_tensor(weight.numpy()).clone()
        for layer in peer.layers
        for weight in layer.weights
    }


def share(source: Any, target: Any) -> None:
    """Copy a network's weights into one without its top, whose unnamed layers are numbered otherwise."""

    def unnamed(layer: Any) -> bool:
        return re.sub(r"_\d+$", "", layer.name) in UNNAMED

    having = [layer for layer in source.layers if layer.weights]
    named = {layer.name: layer for layer in having}
    queues: dict[type, list[Any]] = {}
    for layer in having:
        if unnamed(layer):
            queues.setdefault(type(layer), []).append(layer)

    def twin(layer: Any) -> Any:
        if not unnamed(layer):
            return named[layer.name]
        queue = queues.get(type(layer))
        if queue:
            return queue.pop(0)
        # the last normalisation of ConvNeXt has a name with the top alone
        return next(each for each in reversed(having) if type(each) is type(layer))

    for layer in target.layers:
        if layer.weights:
            layer.set_weights(twin(layer).get_weights())


def _keras() -> Any:
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    from keras.src.backend.common import dtypes

    dtypes.BIT64_TO_BIT32_DTYPE.pop("float64", None)  # or normalisations round to float32, as they do on JAX
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    return keras
