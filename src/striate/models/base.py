"""Every network is an ordered row of named stages and a named head; three classes run them all.

`StagedModel` knows the stages, and two kinds of head follow them. An `ImageModel` gives one answer an image: its
`Head` reads the last stage. A `DenseModel` gives one a position: its `Decoder` names the stages whose maps it reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from striate.core.errors import InputShapeError, PlanError, UnknownModelError
from striate.nn.decoder import Decoder
from striate.nn.heads import Head, pooled_head
from striate.nn.network import Network

Task = Literal["classify", "segment"]
"""What a network is for: one class an image, or one class a position."""

_NORMS = (nn.modules.batchnorm._BatchNorm,)


@dataclass(frozen=True, slots=True)
class StageInfo:
    """One stage of a network.

    Args:
        name: ``stem``, ``stage1``, ``stage2``, ...
        channels: Channels of its output.
        reduction: Input pixels from one output position to the next, along each side.
    """

    name: str
    channels: int
    reduction: int


class StagedModel(Network):
    """A network over images: named stages, then a head.

    A family's constructor calls `add_stage` in order and sets `head` (and, where the paper has them, `aux`);
    everything else is here or in the two classes below, and no family overrides it.

    Args:
        in_channels: Channels of the images.
        classes: Channels of the output.
        min_side: The least height and width that the network accepts, in pixels.
        max_side: The greatest, in pixels; None where any larger image serves.
        side_step: From one accepted side to the next, in pixels.
        aux_side: The least height and width at which auxiliary heads work too, in pixels; None where that is
            `min_side`.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        classes: int,
        min_side: int = 1,
        max_side: int | None = None,
        side_step: int = 1,
        aux_side: int | None = None,
    ) -> None:
        if not all(isinstance(each, Integral) and each < 2**31 for each in (in_channels, classes)):
            raise PlanError(f"channels and classes are whole numbers below 2^31; got {in_channels!r} and {classes!r}")
        if in_channels < 1 or classes < 1:
            raise PlanError(f"a network needs at least 1 channel in and 1 class out; got {in_channels} and {classes}")
        super().__init__()
        self.in_channels = in_channels
        self.classes = classes
        self.min_side = min_side
        self.max_side = max_side
        self.side_step = side_step
        self.aux_side = min_side if aux_side is None else aux_side
        self.aux = nn.ModuleDict()
        self._stage_table: list[StageInfo] = []
        self._frozen: frozenset[str] = frozenset()
        self._fixed_statistics = False

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

    # ------------------------------------------------------------------ structure

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages' names, from the image upwards."""
        return tuple(stage.name for stage in self._stage_table)

    @property
    def stage_table(self) -> tuple[StageInfo, ...]:
        """Name, channels and reduction of every stage."""
        return tuple(self._stage_table)

    def stages_above(self, stage: str | None) -> tuple[str, ...]:
        """The stages that follow `stage`; all of them for None."""
        return self.stages if stage is None else self.stages[self._position(stage) + 1 :]

    def parameter_stages(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by stage, from the image upwards, ``head`` last: for freezing and for rates."""
        groups = {name: list(self.get_submodule(name).parameters()) for name in self.stages}
        groups["head"] = list(self.head.parameters())
        if len(self.aux):
            groups["aux"] = list(self.aux.parameters())
        return groups

    def _position(self, stage: str) -> int:
        if stage not in self.stages:
            raise UnknownModelError(f"this network has no stage {stage!r}", hint=f"stages: {', '.join(self.stages)}")
        return self.stages.index(stage)

    # ------------------------------------------------------------------ running

    def forward_stages(self, x: Tensor, keep: Iterable[str] | None = None) -> dict[str, Tensor]:
        """The maps of the stages asked for, in order; nothing above the last of them runs.

        Args:
            x: Images, ``[n, in_channels, h, w]``.
            keep: Names of stages; None keeps all.
        """
        self._check(x)
        wanted = self.stages if keep is None else tuple(keep)
        last = max((self._position(name) for name in wanted), default=-1)
        maps: dict[str, Tensor] = {}
        for name in self.stages[: last + 1]:
            x = self.get_submodule(name)(x)
            if name in wanted:
                maps[name] = x
        return maps

    def forward_with_aux(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits, and the logits of every auxiliary head under the dotted path of the module that it taps.

        Raises:
            InputShapeError: The network does not take such images, or its auxiliary heads do not.
        """
        side = min(int(x.shape[-2]), int(x.shape[-1]))
        if self.aux and self.min_side <= side < self.aux_side:
            raise InputShapeError(
                f"image side {side} px is below {self.aux_side}, the least that the auxiliary heads accept",
                hint="resize the images, or run the network without them: forward, or a recipe whose aux is 0",
            )
        tapped: dict[str, Tensor] = {}

        def listen(path: str) -> Any:
            def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
                tapped[path] = output

            return keep

        paths = {name: name.replace("/", ".") for name in self.aux}
        hooks = [self.get_submodule(path).register_forward_hook(listen(name)) for name, path in paths.items()]
        try:
            logits = self(x)
        finally:
            for hook in hooks:
                hook.remove()
        return logits, {paths[name]: self.aux[name](tapped[name]) for name in self.aux}

    def _check(self, x: Tensor) -> None:
        if torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage]
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
                f"image side {side} px is below {self.min_side}, the least this network accepts",
                hint="resize the images, or choose a network for small images such as resnet20_cifar",
            )
        side = max(int(x.shape[2]), int(x.shape[3]))
        if self.max_side is not None and side > self.max_side:
            raise InputShapeError(
                f"image side {side} px is above {self.max_side}, the most this network accepts",
                hint="resize the images, or choose a network that slides over them",
            )
        for side in (int(x.shape[2]), int(x.shape[3])):
            below = side - (side - self.min_side) % self.side_step
            if side != below:
                raise InputShapeError(
                    f"image side {side} px does not come out even in this network; "
                    f"the nearest that do are {below} and {below + self.side_step}",
                    hint=f"crop or pad the images: {self.min_side} px serve, and every {self.side_step} px more",
                )

    # ------------------------------------------------------------------ freezing

    @property
    def frozen(self) -> tuple[str, ...]:
        """The stages that cannot move."""
        return tuple(name for name in self.stages if name in self._frozen)

    def freeze(self, upto: str | None, *, fixed_statistics: bool = False) -> Self:
        """Freeze every stage up to and with `upto`: no gradient, and no batch statistic moves, in `train()` too.

        Args:
            upto: The last frozen stage; None thaws all.
            fixed_statistics: Whether all other batch statistics stay fixed as well, their scale and shift still
                trainable. Right for pretrained stages on little data.
        """
        below = () if upto is None else self.stages[: self._position(upto) + 1]
        self._frozen = frozenset(below)
        self._fixed_statistics = fixed_statistics
        for name, parameters in self.parameter_stages().items():
            for parameter in parameters:
                parameter.requires_grad_(name not in self._frozen)
        return self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode; frozen stages and fixed statistics stay in evaluation."""
        super().train(mode)
        if mode:
            for name in self._frozen:
                self.get_submodule(name).eval()
            if self._fixed_statistics:
                for part in (*map(self.get_submodule, self.stages), self.aux):
                    for layer in part.modules():
                        if isinstance(layer, _NORMS):
                            layer.eval()
        return self


class ImageModel(StagedModel):
    """A network that gives one answer an image: its head reads the last stage's maps and ends in ``logits``."""

    task: ClassVar[Task] = "classify"
    head: Head

    def replace_head(self, classes: int) -> None:
        """Give the head, and auxiliary ones, a fresh last layer for `classes` outputs; everything before it stays."""
        if classes < 1:
            raise PlanError(f"a head needs at least 1 class; got {classes}")
        for head in (self.head, *self.aux.values()):
            assert isinstance(head, Head)
            head.replace_logits(classes)
        self.classes = classes

    def truncate(self, layer: str, classes: int) -> None:
        """Keep the network up to a feature point, with a fresh last layer on it; what lies above is dropped.

        Args:
            layer: One of `feature_layers`. At the last stage of a network whose head is pooling and ``logits`` alone,
                only the last layer changes.
            classes: Length of the output.
        """
        if layer not in self.feature_layers:
            hint = f"points: {', '.join(self.feature_layers)}"
            raise UnknownModelError(f"this network has no feature point {layer!r}", hint=hint)
        self.aux = nn.ModuleDict()
        stage, _, part = layer.partition(".")
        if part:
            self.head = self.head.upto(part, classes)
        elif layer != self.stages[-1] or self.head.hidden:
            for name in self.stages_above(layer):
                delattr(self, name)
            self._stage_table = self._stage_table[: self._position(stage) + 1]
            self._frozen &= frozenset(self.stages)
            like = self.head.logits_layer.weight
            self.head = pooled_head(self._stage_table[-1].channels, classes).to(like)
        else:
            self.head.replace_logits(classes)
        self.classes = classes

    @property
    def feature_layers(self) -> tuple[str, ...]:
        """Where features can be taken: every stage, then the head's parts that learn before ``logits``."""
        return (*self.stages, *(f"head.{part}" for part in self.head.hidden))

    def forward(self, x: Tensor) -> Tensor:
        """Logits, in training and in evaluation alike.

        Shape:
            ``[n, in_channels, h, w]`` to ``[n, classes]``.

        Raises:
            InputShapeError: The image has other channels, or a side below `min_side` or above `max_side`.
        """
        return self.head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """The last stage's maps, ``[n, channels, h, w]``."""
        self._check(x)
        for name in self.stages:
            x = self.get_submodule(name)(x)
        return x

    def forward_head(self, features: Tensor, upto: str | None = None) -> Tensor:
        """From the last stage's maps to logits, or to the output of the head's part `upto`."""
        return self.head.run(features, upto)

    def cut(self, stage: str) -> tuple[nn.Module, nn.Module]:
        """The network in two at the end of `stage`, sharing this network's parameters.

        Returns:
            ``bottom`` (images to the stage's maps) and ``top`` (those maps to logits).
        """
        return _Bottom(self, stage), _Top(self, stage)


class DenseModel(StagedModel):
    """A network that gives an answer for every position: its head is a decoder that reads the maps of several stages.

    The stages are those of any other network, and are cut, frozen, probed and sized in the same way.

    Args:
        in_channels: Channels of the images.
        classes: Channels of the output.
        min_side: The least height and width that the network accepts, in pixels.
        max_side: The greatest, in pixels; None where any larger image serves.
        side_step: From one accepted side to the next, in pixels.
        margin: Pixels along every edge of the image that the output leaves out.
    """

    task: ClassVar[Task] = "segment"
    head: Decoder

    def __init__(
        self,
        *,
        in_channels: int,
        classes: int,
        min_side: int = 1,
        max_side: int | None = None,
        side_step: int = 1,
        margin: int = 0,
    ) -> None:
        super().__init__(
            in_channels=in_channels, classes=classes, min_side=min_side, max_side=max_side, side_step=side_step
        )
        self.margin = margin

    def replace_head(self, classes: int) -> None:
        """Give the head fresh layers wherever their size follows from `classes`; everything else stays."""
        if classes < 1:
            raise PlanError(f"a head needs at least 1 class; got {classes}")
        self.head.replace_logits(classes)
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every position, in training and in evaluation alike.

        Shape:
            ``[n, in_channels, h, w]`` to ``[n, classes, h - 2 margin, w - 2 margin]``.

        Raises:
            InputShapeError: The image has other channels, or a side that the network does not accept.
        """
        return self.forward_head(self.forward_features(x), (x.shape[2], x.shape[3]))

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """The maps that the head reads, by stage."""
        return self.forward_stages(x, keep=self.head.reads)

    def forward_head(self, features: Mapping[str, Tensor], size: tuple[int, int]) -> Tensor:
        """From the maps that the head reads to logits.

        Args:
            features: As `forward_features` gives them.
            size: Height and width of the image that they are of.
        """
        return self.head(features, size)

    def cut(self, stage: str) -> tuple[nn.Module, nn.Module]:
        """The network in two at the end of `stage`, sharing this network's parameters.

        Returns:
            ``bottom`` (images to the maps of `stage` and of the stages below that the head reads) and ``top`` (those
            maps, and the image's height and width, to logits).
        """
        return _DenseBottom(self, stage), _DenseTop(self, stage)


class _Bottom(nn.Module):
    """Images to one stage's maps."""

    def __init__(self, model: ImageModel, stage: str) -> None:
        super().__init__()
        self.model = model
        self.stage = stage

    def forward(self, x: Tensor) -> Tensor:
        return self.model.forward_stages(x, keep=[self.stage])[self.stage]


class _Top(nn.Module):
    """One stage's maps to logits."""

    def __init__(self, model: ImageModel, stage: str) -> None:
        super().__init__()
        self.model = model
        self.names = model.stages_above(stage)

    def forward(self, x: Tensor) -> Tensor:
        for name in self.names:
            x = self.model.get_submodule(name)(x)
        return self.model.head(x)


class _DenseBottom(nn.Module):
    """Images to one stage's maps, and those below it that the head reads."""

    def __init__(self, model: DenseModel, stage: str) -> None:
        super().__init__()
        self.model = model
        above = model.stages_above(stage)
        self.names = [
            name for name in model.stages if name == stage or (name in model.head.reads and name not in above)
        ]

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return self.model.forward_stages(x, keep=self.names)


class _DenseTop(nn.Module):
    """Those maps to logits."""

    def __init__(self, model: DenseModel, stage: str) -> None:
        super().__init__()
        self.model = model
        self.stage = stage
        self.names = model.stages_above(stage)

    def forward(self, maps: Mapping[str, Tensor], size: tuple[int, int]) -> Tensor:
        reads, x = self.model.head.reads, maps[self.stage]
        kept = {name: each for name, each in maps.items() if name in reads}
        for name in self.names:
            x = self.model.get_submodule(name)(x)
            if name in reads:
                kept[name] = x
        return self.model.head(kept, size)
