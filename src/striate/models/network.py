"""A network is a backbone and a head.

`StagedModel` holds what all networks share. An `ImageModel` gives one answer per image: its `Head` reads the last
stage. A `DenseModel` gives one answer per position: its `Decoder` names the stages whose maps it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import ClassVar, Literal, Self

from torch import Tensor, nn

from striate.core.errors import InputShapeError, PlanError, UnknownModelError
from striate.models.auxiliary import Auxiliary
from striate.models.backbone import Backbone
from striate.models.cut import Bottom, Top
from striate.nn.decoder import Decoder
from striate.nn.heads import Head, pooled_head

Task = Literal["classify", "segment"]
"""What a network is for: one class per image, or one class per position."""

_NORMS = (nn.modules.batchnorm._BatchNorm,)


class StagedModel(Auxiliary):
    """A network over images: a backbone and a head.

    A family's constructor calls `add_stage` in order, sets `head`, and calls `add_aux` if the paper has auxiliary
    heads. Everything else is here or in the two classes below, and no family overrides it. Every family's class takes
    a spec, `classes` and `in_channels`. The children of a network run in order: the stages, `aux` if there are
    auxiliary heads, `head`.

    Args:
        in_channels: Channels of the images.
        classes: Channels of the output.
        min_side: The smallest height and width that the network accepts, in pixels.
        max_side: The largest, in pixels; None accepts any larger image.
        side_step: From one accepted side to the next, in pixels.
        aux_side: The smallest height and width that the auxiliary heads accept, in pixels; None means `min_side`.
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
        if not isinstance(classes, Integral) or not 1 <= classes < 2**31:
            raise PlanError(f"classes must be a whole number from 1 to 2^31 - 1; got {classes!r}")
        super().__init__(
            in_channels=in_channels, min_side=min_side, max_side=max_side, side_step=side_step, aux_side=aux_side
        )
        self.classes: int = classes
        self._frozen: tuple[str, ...] = ()
        self._fixed_statistics = False

    # ------------------------------------------------------------------ structure

    @property
    def backbone(self) -> Backbone:
        """The stages without the head, sharing this network's parameters."""
        return Backbone(
            in_channels=self.in_channels, min_side=self.min_side, max_side=self.max_side, side_step=self.side_step
        ).add_stages_of(self)

    @property
    def reads(self) -> tuple[str, ...]:
        """The stages whose maps the head reads."""
        raise NotImplementedError

    @property
    def head_layers(self) -> tuple[str, ...]:
        """The parts of the head that come before its last layer and hold weights, as ``head.NAME``."""
        raise NotImplementedError

    def answer(self, maps: Mapping[str, Tensor], size: tuple[int, int] | None = None) -> Tensor:
        """From the maps that the head reads to logits.

        Args:
            maps: By stage, ``[n, channels, h, w]`` each.
            size: Height and width of the images, in pixels; only decoders need it.
        """
        raise NotImplementedError

    def parameter_stages(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by stage, from the image upwards, then those of ``head`` and ``aux``."""
        groups = {name: list(self.get_submodule(name).parameters()) for name in self.stages}
        groups["head"] = list(self.head.parameters())
        if len(self.aux):
            groups["aux"] = list(self.aux.parameters())
        return groups

    def cut(self, stage: str) -> tuple[Bottom, Top]:
        """The network in two halves after `stage`; they share this network's parameters.

        Returns:
            ``bottom`` (images to the maps of `stage` and of the lower stages that the head reads) and ``top`` (those
            maps to logits).
        """
        return Bottom(self, stage), Top(self, stage)

    # ------------------------------------------------------------------ freezing

    @property
    def frozen(self) -> tuple[str, ...]:
        """The stages, and the parts of the head, that are frozen."""
        return self._frozen

    def freeze(self, upto: str, *, fixed_statistics: bool = False) -> Self:
        """Freeze everything up to and including `upto`: neither weights nor batch statistics change, in `train()` too.

        Args:
            upto: The last frozen stage, or a part of the head such as ``head.conv``, which freezes all stages too.
            fixed_statistics: Whether all other batch statistics of the stages and of the head stay fixed as well; their
                scale and shift can still be trained. Recommended for pretrained networks on small data sets.

        Raises:
            UnknownModelError: There is no such stage or part.

        Example:
            >>> from striate.models import REGISTRY
            >>> REGISTRY.get("lenet5").create().freeze("stage1").frozen
            ('stem', 'stage1')
        """
        layers = (*self.stages, *self.head_layers)
        if upto not in layers:
            raise UnknownModelError(f"this network has no layer {upto!r}", hint=f"layers: {', '.join(layers)}")
        return self._set_frozen(layers[: layers.index(upto) + 1], fixed_statistics)

    def unfreeze(self, *, fixed_statistics: bool = False) -> Self:
        """Make every weight trainable again.

        Args:
            fixed_statistics: As for `freeze`.
        """
        return self._set_frozen((), fixed_statistics)

    def _set_frozen(self, layers: tuple[str, ...], fixed_statistics: bool) -> Self:
        self._frozen = layers
        self._fixed_statistics = fixed_statistics
        prefixes = tuple(f"{name}." for name in layers)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(not name.startswith(prefixes))
        return self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode; frozen layers and fixed statistics stay in evaluation mode."""
        super().train(mode)
        if mode:
            for name in self._frozen:
                self.get_submodule(name).eval()
            if self._fixed_statistics:
                for part in (*map(self.get_submodule, (*self.stages, *self.head_layers)), self.aux):
                    for layer in part.modules():
                        if isinstance(layer, _NORMS):
                            layer.eval()
        return self


class ImageModel(StagedModel):
    """A network that gives one answer per image: its head reads the last stage's maps and ends in ``logits``."""

    task: ClassVar[Task] = "classify"
    head: Head

    @classmethod
    def on(cls, backbone: Backbone, head: Head) -> ImageModel:
        """A network of a backbone and a head; both are shared, not copied.

        Args:
            backbone: Its stages.
            head: Reads the maps of the last stage.
        """
        model = ImageModel(
            in_channels=backbone.in_channels,
            classes=head.logits_layer.out_features,
            min_side=backbone.min_side,
            max_side=backbone.max_side,
            side_step=backbone.side_step,
        ).add_stages_of(backbone)
        model.head = head
        return model

    @property
    def reads(self) -> tuple[str, ...]:
        """The last stage."""
        return self.stages[-1:]

    @property
    def head_layers(self) -> tuple[str, ...]:
        """The parts of the head that come before ``logits`` and hold weights, as ``head.NAME``."""
        return tuple(f"head.{part}" for part in self.head.hidden)

    @property
    def feature_layers(self) -> tuple[str, ...]:
        """Where features can be taken: every stage, then the parts of the head that come before ``logits``."""
        return (*self.stages, *self.head_layers)

    @property
    def probe_layers(self) -> tuple[str, ...]:
        """The feature layers at which a pretrained network may be cut.

        A head's convolution was pretrained as the end of the last stage, whose own maps are then left out.
        """
        dropped = self.stages[-1] if "head.conv" in self.feature_layers else None
        return tuple(layer for layer in self.feature_layers if layer != dropped)

    def replace_head(self, classes: int) -> None:
        """Replace the last layer of the head, and of auxiliary heads, by a new one for `classes` outputs."""
        if classes < 1:
            raise PlanError(f"a head needs at least 1 class; got {classes}")
        for head in (self.head, *self.aux.values()):
            assert isinstance(head, Head)
            head.replace_logits(classes)
        self.classes = classes

    def truncate(self, layer: str, classes: int) -> None:
        """Keep the network up to a feature layer and put a new last layer on it; what lies above is dropped.

        Args:
            layer: One of `feature_layers`. At the last stage of a network whose head is pooling and ``logits`` alone,
                only the last layer changes.
            classes: Length of the output.
        """
        if layer not in self.feature_layers:
            hint = f"layers: {', '.join(self.feature_layers)}"
            raise UnknownModelError(f"this network has no feature layer {layer!r}", hint=hint)
        self.drop_aux()
        stage, _, part = layer.partition(".")
        if part:
            self.head = self.head.upto(part, classes)
        elif layer != self.stages[-1] or self.head.hidden:
            for name in self.stages_above(layer):
                delattr(self, name)
            self._stage_table = self._stage_table[: self.position(stage) + 1]
            like = self.head.logits_layer.weight
            self.head = pooled_head(self._stage_table[-1].channels, classes).to(like)
        else:
            self.head.replace_logits(classes)
        self._frozen = tuple(name for name in self._frozen if name in self.feature_layers)
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        """Logits, in training and in evaluation alike.

        Shape:
            ``[n, in_channels, h, w]`` to ``[n, classes]``.

        Raises:
            InputShapeError: The image has another number of channels, or a side below `min_side` or above `max_side`.
        """
        features = self.forward_features(x)
        return self.head(self.aux(features) if self.aux else features)

    def forward_features(self, x: Tensor) -> Tensor:
        """The last stage's maps, ``[n, channels, h, w]``."""
        self.check_images(x)
        for name in self.stages:
            x = self.get_submodule(name)(x)
        return x

    def forward_head(self, features: Tensor, upto: str | None = None) -> Tensor:
        """From the last stage's maps to logits, or to the output of the head's part `upto`."""
        return self.head.run(features, upto)

    def answer(self, maps: Mapping[str, Tensor], size: tuple[int, int] | None = None) -> Tensor:
        """From the last stage's maps to logits; the size of the images does not matter."""
        return self.head(maps[self.stages[-1]])


class DenseModel(StagedModel):
    """A network that gives one answer per position: its head is a decoder that reads the maps of several stages.

    It takes the arguments of `StagedModel`, and one more.

    Args:
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

    @classmethod
    def on(cls, backbone: Backbone, decoder: Decoder, *, classes: int, margin: int = 0) -> DenseModel:
        """A network of a backbone and a decoder; both are shared, not copied.

        Args:
            backbone: Its stages.
            decoder: Reads the maps of some stages.
            classes: Channels of the decoder's output.
            margin: Pixels along every edge of the image that the output leaves out.
        """
        model = DenseModel(
            in_channels=backbone.in_channels,
            classes=classes,
            min_side=backbone.min_side,
            max_side=backbone.max_side,
            side_step=backbone.side_step,
            margin=margin,
        ).add_stages_of(backbone)
        model.head = decoder
        return model

    @property
    def reads(self) -> tuple[str, ...]:
        """The stages that the decoder names."""
        return self.head.reads

    @property
    def head_layers(self) -> tuple[str, ...]:
        """None: a decoder is trained as a whole."""
        return ()

    def replace_head(self, classes: int) -> None:
        """Replace the layers of the head whose size follows from `classes`; everything else stays."""
        if classes < 1:
            raise PlanError(f"a head needs at least 1 class; got {classes}")
        self.head.replace_logits(classes)
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every position, in training and in evaluation alike.

        Shape:
            ``[n, in_channels, h, w]`` to ``[n, classes, h - 2 margin, w - 2 margin]``.

        Raises:
            InputShapeError: The image has another number of channels, or a side that the network does not accept.
        """
        return self.forward_head(self.forward_features(x), (x.shape[2], x.shape[3]))

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """The maps that the head reads, by stage."""
        return self.forward_stages(x, keep=self.head.reads)

    def forward_head(self, features: Mapping[str, Tensor], size: tuple[int, int]) -> Tensor:
        """From the maps that the head reads to logits.

        Args:
            features: As `forward_features` returns them.
            size: Height and width of the images, in pixels.
        """
        return self.head(features, size)

    def answer(self, maps: Mapping[str, Tensor], size: tuple[int, int] | None = None) -> Tensor:
        """From the maps that the head reads to logits."""
        if size is None:
            raise InputShapeError("a decoder needs the height and width of the images", hint="give size=(h, w)")
        return self.forward_head(maps, size)
