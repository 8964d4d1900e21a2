"""Batch normalisation folded into the convolutions before it: the same function with less memory traffic."""

from __future__ import annotations

import copy
import itertools

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def folded(module: nn.Module) -> nn.Module:
    """A copy of `module` in evaluation mode in which every convolution followed by a batch normalisation is one layer.

    Pairs are looked for among neighbours in `nn.Sequential`; others stay as they are, which is correct but slower.
    """
    result = copy.deepcopy(module).eval()
    for parent in list(result.modules()):
        if isinstance(parent, nn.Sequential):
            names = list(parent._modules)
            for first, second in itertools.pairwise(names):
                conv, norm = parent.get_submodule(first), parent.get_submodule(second)
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and norm.running_var is not None:
                    parent.add_module(first, fuse_conv_bn_eval(conv, norm))
                    parent.add_module(second, nn.Identity())
    return result
