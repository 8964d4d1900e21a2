"""A network and its loss as one module."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, final

import torch
from torch import Tensor, nn

from striate.nn.network import WithAux
from striate.training import depthwise


@final
class Objective(nn.Module):
    """A network and its loss in one module, so that a wrapper uses every parameter in one forward pass.

    Args:
        module: Maps inputs to outputs.
        loss: Maps outputs and targets to a scalar, the mean over the batch.
        aux_weight: Weight of each auxiliary head's loss.
        precision: Of the forward and backward pass; ``bf16`` keeps weights, sums and losses in float32.
    """

    def __init__(
        self, module: nn.Module, loss: nn.Module, *, aux_weight: float = 0.0, precision: str = "float32"
    ) -> None:
        super().__init__()
        self.module = module
        self.loss = loss
        self.aux_weight = aux_weight
        self.precision = precision
        self._depthwise = depthwise.worthwhile(module)

    def forward(self, inputs: Tensor, targets: Any) -> Tensor:
        """The mean loss of a batch.

        Args:
            inputs: As the module takes them.
            targets: As the loss takes them.
        """
        low, device = self.precision == "bf16", inputs.device.type
        faster = depthwise.FastBackward() if low and self._depthwise and device == "cpu" else nullcontext()
        with torch.autocast(device, torch.bfloat16, enabled=low), faster:
            if self.aux_weight and isinstance(self.module, WithAux):
                outputs, others = self.module.forward_with_aux(inputs)
            else:
                outputs, others = self.module(inputs), {}
        loss = self.loss(_float32(outputs), targets)
        for each in others.values():
            loss = loss + self.aux_weight * self.loss(_float32(each), targets)
        return loss


def _float32(outputs: Tensor) -> Tensor:
    return outputs.float() if outputs.dtype == torch.bfloat16 else outputs
