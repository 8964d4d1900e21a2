"""What training makes small."""

from __future__ import annotations

from contextlib import nullcontext
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.nn.network import WithAux
from striate.training import depthwise


@final
class Objective(nn.Module):
    """A network and its loss in one module, so that whatever wraps it sees every parameter in one forward pass.

    Args:
        module: Inputs to logits.
        label_smoothing: Share of the target given to all classes alike.
        aux: Weight of each auxiliary head's loss.
        class_weights: Factor of each class's images in the loss, ``[classes]``; None counts all alike.
        precision: Of the arithmetic; ``bf16`` keeps weights, sums and losses in float32.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        module: nn.Module,
        *,
        label_smoothing: float = 0.0,
        aux: float = 0.0,
        class_weights: Tensor | None = None,
        precision: str = "float32",
    ) -> None:
        super().__init__()
        self.module = module
        self.label_smoothing = label_smoothing
        self.aux = aux
        self.precision = precision
        self._depthwise = depthwise.worthwhile(module)
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of a batch.

        Args:
            inputs: What the module takes.
            labels: Class numbers ``[n]``, or shares of classes ``[n, classes]``.
        """
        low, device = self.precision == "bf16", inputs.device.type
        faster = depthwise.FastBackward() if low and self._depthwise and device == "cpu" else nullcontext()
        with torch.autocast(device, torch.bfloat16, enabled=low), faster:
            if self.aux and isinstance(self.module, WithAux):
                logits, others = self.module.forward_with_aux(inputs)
            else:
                logits, others = self.module(inputs), {}
        loss = self._loss(logits, labels)
        for each in others.values():
            loss = loss + self.aux * self._loss(each, labels)
        return loss

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits = logits.float() if logits.dtype == torch.bfloat16 else logits
        labels = labels.to(logits.dtype) if labels.is_floating_point() else labels
        if self.class_weights is None:
            return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        # over the images and not over their weights, so that a step is the same in however many groups
        total = F.cross_entropy(
            logits, labels, self.class_weights, label_smoothing=self.label_smoothing, reduction="sum"
        )
        return total / len(labels)
