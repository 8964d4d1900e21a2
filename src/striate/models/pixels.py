"""A network together with its input normalisation: uint8 pixels in, outputs out."""

from __future__ import annotations

from typing import final

from torch import Tensor

from striate.core.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from striate.models.network import ImageModel
from striate.nn.input import InputNormalization
from striate.nn.network import WithAux

_GREY_MEAN, _GREY_STD = 0.13, 0.31
"""Close to those of handwritten digits, bright on black."""


def default_preprocess(shape: tuple[int, int, int]) -> Preprocess:
    """The preprocessing of networks that are trained here: the native size, and normalised values."""
    channels, height, width = shape
    if channels == 1:
        return Preprocess(size=(height, width), channels="grey", mean=(_GREY_MEAN,), std=(_GREY_STD,))
    return Preprocess(size=(height, width), mean=IMAGENET_MEAN, std=IMAGENET_STD)


@final
class PixelNetwork(WithAux):
    """A network that takes decoded images: the normalisation, then the network.

    Args:
        model: The network.
        preprocess: The preprocessing that its weights need.

    Shape:
        uint8 ``[n, h, w, channels]`` to the network's output.
    """

    def __init__(self, model: ImageModel, preprocess: Preprocess) -> None:
        super().__init__()
        self.input = InputNormalization(preprocess)
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise the pixels, then run the network."""
        return self.model(self.input(pixels))

    def forward_with_aux(self, pixels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The outputs, and those of the auxiliary heads."""
        return self.model.forward_with_aux(self.input(pixels))
