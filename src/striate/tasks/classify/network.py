"""A network together with what must be done to pictures before it: bytes in, logits out."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from striate.core.preprocess import Preprocess
from striate.models.base import ImageModel
from striate.nn.input import PictureInput


@final
class Classifier(nn.Module):
    """Decoded pictures to logits.

    Args:
        model: The network.
        preprocess: What its weights were trained with.

    Shape:
        uint8 ``[n, h, w, channels]`` to ``[n, classes]``.
    """

    def __init__(self, model: ImageModel, preprocess: Preprocess) -> None:
        super().__init__()
        self.input = PictureInput(preprocess)
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise, then run the network."""
        return self.model(self.input(pixels))

    def forward_with_aux(self, pixels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits, and those of the network's auxiliary heads."""
        return self.model.forward_with_aux(self.input(pixels))
