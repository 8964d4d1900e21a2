"""The pooled features of one layer; nothing above it runs."""

from __future__ import annotations

import copy
from typing import final

from torch import Tensor, nn

from striate.core.preprocess import Preprocess
from striate.inference.stage_features import StageFeatures
from striate.models import ImageModel


@final
class LayerFeatures(nn.Module):
    """The pooled features of one layer: a stage's maps averaged over their area, or a hidden layer of the head.

    Args:
        model: The network; it is copied, so it stays as it is.
        preprocess: What its weights were trained with.
        layer: One of ``model.feature_layers``; None takes the last.

    Shape:
        uint8 ``[n, h, w, channels]`` to float32 ``[n, width]``.

    Raises:
        UnknownModelError: The network has no such layer; the message names those that it has.
    """

    def __init__(self, model: ImageModel, preprocess: Preprocess, layer: str | None = None) -> None:
        super().__init__()
        self.layer = model.feature_layers[-1] if layer is None else layer
        below = copy.deepcopy(model)
        below.truncate(self.layer, 1)
        self.all = StageFeatures(below.eval(), preprocess)
        self.width = self.all.widths[self.layer]

    def forward(self, pixels: Tensor) -> Tensor:
        """Run the network up to the layer."""
        return self.all(pixels)[:, -self.width :]
