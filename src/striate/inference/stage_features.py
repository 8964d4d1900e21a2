"""The pooled features of every stage and hidden layer in one forward pass."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from striate.core.preprocess import Preprocess
from striate.models.network import ImageModel
from striate.nn.input import InputNormalization


@final
class StageFeatures(nn.Module):
    """The pooled features of every feature layer, concatenated.

    Maps are averaged over all positions; the parts of the head after pooling are taken as they are.

    Args:
        model: The network.
        preprocess: What its weights were trained with.

    Shape:
        uint8 ``[n, h, w, channels]`` to float32 ``[n, sum of widths]``.
    """

    def __init__(self, model: ImageModel, preprocess: Preprocess) -> None:
        super().__init__()
        self.input = InputNormalization(preprocess)
        self.model = model

    @property
    def widths(self) -> dict[str, int]:
        """Length of the features of every feature layer, in order."""
        widths = {stage.name: stage.channels for stage in self.model.stage_table}
        widths |= {f"head.{part}": self.model.head.width(part) for part in self.model.head.hidden}
        return widths

    def forward(self, pixels: Tensor) -> Tensor:
        """Run the network once and pool on the way."""
        x = self.input(pixels)
        pooled = []
        for name in self.model.stages:
            x = self.model.get_submodule(name)(x)
            pooled.append(x.mean(dim=(2, 3)))
        for name, part in self.model.head.named_children():
            if name == "logits":
                break
            x = part(x)
            if name in self.model.head.hidden:
                pooled.append(x.mean(dim=(2, 3)) if x.ndim == 4 else x)
        return torch.cat(pooled, dim=1)
