"""Layers with names, one after another."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def sequence(**layers: nn.Module) -> nn.Sequential:
    """A row of layers under the names they are given by.

    Example:
        >>> sequence(conv=nn.Conv2d(3, 8, 3), act=nn.ReLU()).conv.out_channels
        8
    """
    return nn.Sequential(OrderedDict(layers))
