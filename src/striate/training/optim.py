"""Optimisers over named parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from striate.records.recipes import Recipe

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


def make(module: nn.Module, recipe: Recipe, lr_scales: Mapping[str, float] | None = None) -> torch.optim.Optimizer:
    """The recipe's optimiser over every parameter of `module` that takes a gradient.

    Args:
        module: What is trained.
        recipe: Names the optimiser, its learning rates and its decay. Parameters of one dimension (biases,
            normalisations) decay only if it says so.
        lr_scales: Learning-rate factor for parameters whose name begins with a key; the longest key wins, else 1.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    shifts = {id(layer.bias) for layer in module.modules() if isinstance(layer, _NORMS)}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            key = max((k for k in lr_scales or {} if name.startswith(k)), key=len, default=None)
            lr_scale = 1.0 if key is None or lr_scales is None else lr_scales[key]
            if id(parameter) in shifts:
                lr_scale *= recipe.norm_bias_lr_scale
            groups.setdefault((lr_scale, recipe.decay_norm_and_bias or parameter.ndim > 1), []).append(parameter)
    settings: list[dict[str, Any]] = [
        {"params": each, "lr_scale": lr_scale, "weight_decay": recipe.weight_decay if decays else 0.0}
        for (lr_scale, decays), each in groups.items()
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(settings, lr=recipe.lr)
    if recipe.optimizer == "rmsprop":
        return torch.optim.RMSprop(settings, lr=recipe.lr, alpha=0.9, eps=1e-3, momentum=recipe.momentum)
    nesterov = recipe.nesterov and recipe.momentum > 0
    return torch.optim.SGD(settings, lr=recipe.lr, momentum=recipe.momentum, nesterov=nesterov)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def state_tensors(optimizer: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """The optimiser's memory as tensors under ``<parameter's name>/<what>``."""
    names = {id(p): n for n, p in module.named_parameters()}
    return {
        f"{names[id(parameter)]}/{what}": value
        for parameter, state in optimizer.state.items()
        for what, value in state.items()
        if isinstance(value, Tensor)
    }


def restore(optimizer: torch.optim.Optimizer, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `state_tensors` gave."""
    parameters = dict(module.named_parameters())
    for key, value in tensors.items():
        name, what = key.rsplit("/", 1)
        parameter = parameters[name]  # AdamW counts its steps on the CPU
        optimizer.state[parameter][what] = value.clone() if what == "step" else value.to(parameter.device, copy=True)
