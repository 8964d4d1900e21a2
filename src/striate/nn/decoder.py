"""What turns the maps of several stages into one map of logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor, nn


class Decoder(nn.Module, ABC):
    """The head of a network that answers for every position.

    It names the stages that it reads, so that whatever runs the stages knows which maps to keep, and so that one
    decoder can follow the stages of any network.

    Args:
        reads: Names of stages, from the image upwards.
    """

    def __init__(self, reads: Sequence[str]) -> None:
        super().__init__()
        self.reads = tuple(reads)

    @abstractmethod
    def forward(self, maps: Mapping[str, Tensor], size: tuple[int, int]) -> Tensor:
        """Maps to logits.

        Args:
            maps: By stage, ``[n, channels, h, w]`` each; those in `reads` at least.
            size: Height and width of the image.

        Shape:
            The result is ``[n, classes, h, w]``.
        """

    @abstractmethod
    def replace_logits(self, classes: int) -> None:
        """Put fresh layers wherever their size follows from the number of classes."""
