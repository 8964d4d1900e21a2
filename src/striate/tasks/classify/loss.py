"""The loss of classification."""

from __future__ import annotations

from typing import final

import torch.nn.functional as F
from torch import Tensor, nn


@final
class CrossEntropy(nn.Module):
    """Mean cross-entropy over a batch.

    Args:
        label_smoothing: Fraction of the target that is spread evenly over all classes.
        class_weights: Factor of each class in the loss, ``[classes]``; None weights all classes equally.

    Shape:
        Logits ``[n, classes]`` and class numbers ``[n]`` (or class fractions ``[n, classes]``) to a scalar.
    """

    class_weights: Tensor | None

    def __init__(self, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch."""
        labels = labels.to(logits.dtype) if labels.is_floating_point() else labels
        if self.class_weights is None:
            return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        # divided by the images and not by their weights, so that micro-batches add up to the batch
        total = F.cross_entropy(
            logits, labels, self.class_weights, label_smoothing=self.label_smoothing, reduction="sum"
        )
        return total / len(labels)
