"""A network together with what must be done to images before it: bytes in, logits out."""

from __future__ import annotations

from typing import final

from torch import Tensor

from striate.core.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from striate.models.base import ImageModel
from striate.nn.input import InputNormalization
from striate.nn.network import WithAux

_GREY_MEAN, _GREY_STD = 0.13, 0.31
"""About those of handwritten digits, bright on black."""


def natural_preprocess(shape: tuple[int, int, int]) -> Preprocess:
    """What a network trained here takes: its native size, values normalised."""
    channels, height, width = shape
    if channels == 1:
        return Preprocess(size=(height, width), channels="grey", mean=(_GREY_MEAN,), std=(_GREY_STD,))
    return Preprocess(size=(height, width), mean=IMAGENET_MEAN, std=IMAGENET_STD)


@final
class Classifier(WithAux):
    """Decoded images to logits.

    Args:
        model: The network.
        preprocess: What its weights were trained with.

    Shape:
        uint8 ``[n, h, w, channels]`` to ``[n, classes]``.
    """

    def __init__(self, model: ImageModel, preprocess: Preprocess) -> None:
        super().__init__()
        self.input = InputNormalization(preprocess)
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise, then run the network."""
        return self.model(self.input(pixels))

    def forward_with_aux(self, pixels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits, and those of the network's auxiliary heads."""
        return self.model.forward_with_aux(self.input(pixels))
