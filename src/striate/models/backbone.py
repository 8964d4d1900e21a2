"""A backbone: an ordered sequence of named stages, each of which turns the maps of the stage before into its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Self

from torch import Tensor, nn

from striate.core.errors import InputShapeError, PlanError, UnknownModelError
from striate.nn.tracing import is_recorded


@dataclass(frozen=True, slots=True)
class StageInfo:
    """One stage of a backbone.

    Args:
        name: ``stem``, ``stage1``, ``stage2``, ...
        channels: Channels of its output.
        reduction: Input pixels from one output position to the next, along each side.
    """

    name: str
    channels: int
    reduction: int


class Backbone(nn.Module):
    """Named stages in order, and the images that they accept.

    Heads and decoders read the maps of the stages, so that any of them can be built on any backbone.

    Args:
        in_channels: Channels of the images.
        min_side: The smallest height and width that the stages accept, in pixels.
        max_side: The largest, in pixels; None accepts any larger image.
        side_step: From one accepted side to the next, in pixels.
    """

    def __init__(self, *, in_channels: int, min_side: int = 1, max_side: int | None = None, side_step: int = 1) -> None:
        if not isinstance(in_channels, Integral) or not 1 <= in_channels < 2**31:
            raise PlanError(f"in_channels must be a whole number from 1 to 2^31 - 1; got {in_channels!r}")
        super().__init__()
        self.in_channels: int = in_channels
        self.min_side = min_side
        self.max_side = max_side
        self.side_step = side_step
        self._stage_table: list[StageInfo] = []

    # ------------------------------------------------------------------ building

    def add_stage(self, name: str, module: nn.Module, channels: int, stride: int = 1) -> None:
        """Append a stage.

        Args:
            name: ``stem`` or ``stageN``, N counting from 1.
            module: From the stage before (or the image) to this stage's maps.
            channels: Channels of its output.
            stride: How much this stage alone reduces the resolution.
        """
        before = self._stage_table[-1].reduction if self._stage_table else 1
        self._stage_table.append(StageInfo(name, channels, before * stride))
        self.add_module(name, module)

    def add_stages_of(self, other: Backbone) -> Self:
        """Append the stages of another backbone; the parameters are shared, not copied."""
        for info in other.stage_table:
            self._stage_table.append(info)
            self.add_module(info.name, other.get_submodule(info.name))
        return self

    # ------------------------------------------------------------------ structure

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the stages, from the image upwards."""
        return tuple(stage.name for stage in self._stage_table)

    @property
    def stage_table(self) -> tuple[StageInfo, ...]:
        """Name, channels and reduction of every stage."""
        return tuple(self._stage_table)

    def stages_above(self, stage: str | None) -> tuple[str, ...]:
        """The stages that follow `stage`; None returns all stages."""
        return self.stages if stage is None else self.stages[self.position(stage) + 1 :]

    def position(self, stage: str) -> int:
        """Position of a stage, counted from 0.

        Raises:
            UnknownModelError: There is no such stage.
        """
        if stage not in self.stages:
            raise UnknownModelError(f"this network has no stage {stage!r}", hint=f"stages: {', '.join(self.stages)}")
        return self.stages.index(stage)

    # ------------------------------------------------------------------ running

    def forward_stages(self, x: Tensor, keep: Iterable[str] | None = None) -> dict[str, Tensor]:
        """The maps of the requested stages, in order; no stage above the last of them runs.

        Args:
            x: Images, ``[n, in_channels, h, w]``.
            keep: Names of stages; None keeps all.

        Raises:
            InputShapeError: The image has another number of channels, or a side that the stages do not accept.
        """
        self.check_images(x)
        wanted = self.stages if keep is None else tuple(keep)
        last = max([-1, *[self.position(name) for name in wanted]])
        maps: dict[str, Tensor] = {}
        for name in self.stages[: last + 1]:
            x = self.get_submodule(name)(x)
            if name in wanted:
                maps[name] = x
        return maps

    def check_images(self, x: Tensor) -> None:
        """Check the type and the shape of a batch of images; nothing is checked while a call is recorded.

        Raises:
            InputShapeError: The stages do not accept them; the message says what they accept.
        """
        if is_recorded(x):
            return
        if not x.is_floating_point():
            raise InputShapeError(
                f"this network takes floating-point numbers; got {str(x.dtype).removeprefix('torch.')}",
                hint="normalise the images first, as their preprocessing says",
            )
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise InputShapeError(
                f"this network takes [n, {self.in_channels}, h, w]; got {list(x.shape)}",
                hint="build it with in_channels=... for other images",
            )
        side = min(int(x.shape[2]), int(x.shape[3]))
        if side < self.min_side:
            raise InputShapeError(
                f"image side {side} px is below {self.min_side}, the smallest that this network accepts",
                hint="resize the images, or choose a network for small images such as resnet20_cifar",
            )
        side = max(int(x.shape[2]), int(x.shape[3]))
        if self.max_side is not None and side > self.max_side:
            raise InputShapeError(
                f"image side {side} px is above {self.max_side}, the largest that this network accepts",
                hint="resize the images, or choose a fully convolutional network",
            )
        for side in (int(x.shape[2]), int(x.shape[3])):
            below = side - (side - self.min_side) % self.side_step
            if side != below:
                raise InputShapeError(
                    f"this network does not accept an image side of {side} px; "
                    f"the nearest that it accepts are {below} and {below + self.side_step}",
                    hint=f"crop or pad the images to {self.min_side} px plus a multiple of {self.side_step} px",
                )
