"""A network cut in two after a stage: the bottom half makes the maps, the top half reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, final

from torch import Tensor, nn

if TYPE_CHECKING:
    from striate.models.network import StagedModel


@final
class Bottom(nn.Module):
    """Images to the maps of one stage, and to those of the stages below it that the head reads.

    Args:
        model: The network; its parameters are shared.
        stage: The last stage of this half.

    Shape:
        ``[n, in_channels, h, w]`` to a dictionary of maps, ``[n, channels, h, w]`` each; `stage` comes last.
    """

    def __init__(self, model: StagedModel, stage: str) -> None:
        super().__init__()
        self.model = model
        below = model.stages[: model.position(stage)]
        self.names = (*(name for name in below if name in model.reads), stage)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Run the stages up to the cut."""
        return self.model.forward_stages(x, keep=self.names)


@final
class Top(nn.Module):
    """The maps of the bottom half to logits.

    Args:
        model: The network; its parameters are shared.
        stage: The last stage of the bottom half.
    """

    def __init__(self, model: StagedModel, stage: str) -> None:
        super().__init__()
        self.model = model
        self.stage = stage
        self.names = model.stages_above(stage)

    def forward(self, maps: Mapping[str, Tensor], size: tuple[int, int] | None = None) -> Tensor:
        """Run the stages above the cut, then the head.

        Args:
            maps: As the bottom half returns them.
            size: Height and width of the images, in pixels; only decoders need it.
        """
        reads, x = self.model.reads, maps[self.stage]
        kept = {name: each for name, each in maps.items() if name in reads}
        for name in self.names:
            x = self.model.get_submodule(name)(x)
            if name in reads:
                kept[name] = x
        return self.model.answer(kept, size)
