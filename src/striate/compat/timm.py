"""timm's names on our networks: what training scripts, detectors and segmentation tools written for timm look for.

`create_model` takes timm's arguments; `TimmModel` gives a classifier timm's attributes and methods. Neither needs timm.
The parameters keep our names (``stem.conv.weight``, ``head.logits.bias``); auxiliary heads are left out, as timm does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Literal, final, get_args

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from striate.core.errors import InputShapeError, PlanError
from striate.core.preprocess import Preprocess
from striate.models import REGISTRY, ImageModel
from striate.models.backbone import Backbone
from striate.models.pixels import default_preprocess
from striate.nn.heads import global_pool as make_global_pool
from striate.nn.heads import make_logits
from striate.sizing.trace import on_meta
from striate.weights.create import open_model, split_name

GlobalPool = Literal["avg", "max", ""]
"""How the maps of an image become one vector; ``""`` leaves the maps as they are, and needs ``num_classes=0``."""

Indices = int | Sequence[int] | None
"""Stages by their position: the last n, those listed (negative ones from the end), or all."""


@final
class FeatureInfo:
    """What the maps of some stages are: `info` of all stages, of which those at `out_indices` are returned."""

    def __init__(self, info: list[dict[str, Any]], out_indices: Sequence[int]) -> None:
        self.info = info
        self.out_indices = tuple(out_indices)

    def get(self, key: str) -> list[Any]:
        """One fact of every returned stage."""
        return [self.info[index][key] for index in self.out_indices]

    def channels(self) -> list[int]:
        """Channels of every returned stage."""
        return self.get("num_chs")

    def reduction(self) -> list[int]:
        """Output stride of every returned stage, in pixels."""
        return self.get("reduction")

    def module_name(self) -> list[str]:
        """Names of the returned stages."""
        return self.get("module")

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.info[index]

    def __len__(self) -> int:
        return len(self.info)


@final
class TimmModel(Backbone):
    """A classifier with timm's attributes and methods. It shares the parameters of `model`.

    Args:
        model: The network.
        preprocess: What must be done to an image, for `pretrained_cfg`.
        architecture: Its name, for `pretrained_cfg`.
    """

    output_fmt = "NCHW"

    def __init__(self, model: ImageModel, preprocess: Preprocess, architecture: str = "") -> None:
        super().__init__(
            in_channels=model.in_channels, min_side=model.min_side, max_side=model.max_side, side_step=model.side_step
        )
        self.add_stages_of(model)
        self.head = nn.Sequential(OrderedDict(model.head.named_children()))
        self.neck = model.head.before_pool
        self.in_chans = model.in_channels
        self.num_classes = model.classes
        self.num_features = model.head.width(self.neck[-1]) if self.neck else self.stage_table[-1].channels
        self.head_hidden_size = model.head.logits_layer.in_features
        self.global_pool: str = "avg"
        self.grad_checkpointing = False
        self.default_cfg = self.pretrained_cfg = _config(self, preprocess, architecture)
        self.train(model.training)

    # ------------------------------------------------------------------ structure

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        """``num_chs``, ``reduction`` and ``module`` of every stage."""
        return [
            {"num_chs": stage.channels, "reduction": stage.reduction, "module": stage.name, "index": index}
            for index, stage in enumerate(self.stage_table)
        ]

    def get_classifier(self) -> nn.Module:
        """The last layer; an identity if there are no classes."""
        return self.head.get_submodule("logits")

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Put a new last layer.

        Args:
            num_classes: Length of the output; 0 returns pooled features, and maps if `global_pool` is ``""``.
            global_pool: See `GlobalPool`; None keeps it, and averages if maps that were not pooled are classified.

        Raises:
            PlanError: Maps cannot be classified, or the network has no such pool.
        """
        pool = self.global_pool if global_pool is None else global_pool
        if global_pool is None and num_classes and not pool:
            pool = "avg"
        if pool not in get_args(GlobalPool):
            raise PlanError(f"global_pool is 'avg', 'max' or ''; got {pool!r}")
        if num_classes < 0 or (num_classes and not pool):
            raise PlanError(
                f"a network with global_pool={pool!r} cannot have num_classes={num_classes}",
                hint="give global_pool='avg', or num_classes=0",
            )
        if pool:
            self._set_pool(pool)
        self.global_pool, self.num_classes = pool, num_classes
        like = next(self.parameters())
        last = make_logits(self.head_hidden_size, num_classes, like) if num_classes else nn.Identity()
        self.head.add_module("logits", last.train(self.training))

    def _set_pool(self, pool: str) -> None:
        """Exchange the pool of the head, on the same grid of positions."""
        made = {"avg": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}
        part = self.head.get_submodule("pool")
        for name, layer in part.named_children():
            if isinstance(layer, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
                part.add_module(name, made[pool](layer.output_size).train(self.training))
                return
        if pool == "avg":  # of its own kind
            return
        raise PlanError(f"the head of this network has a pool of its own; global_pool cannot be {pool!r}")

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Patterns of parameter names: the stem, and the stages in order, for learning rates by depth."""
        return {"stem": r"^stem\.", "blocks": r"^stage(\d+)\."}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Whether stages run again in the backward pass, which saves memory."""
        self.grad_checkpointing = enable

    def prune_intermediate_layers(
        self, indices: Indices = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop what the maps of some stages do not need.

        Args:
            indices: The stages.
            prune_norm: Whether to drop the layers between the last stage and the pool too.
            prune_head: Whether to drop the head. It goes in any case if stages above `indices` do.

        Returns:
            The positions of the stages.
        """
        taken = self._positions(indices)
        above = self.stages[max(taken) + 1 :]
        for name in above:
            delattr(self, name)
        self._stage_table = self._stage_table[: len(self._stage_table) - len(above)]
        if above or prune_norm:
            self.neck = ()
            self.num_features = self.stage_table[-1].channels
        if above or prune_head:
            kept = {name: self.head.get_submodule(name) for name in self.neck}
            parts = kept | {"pool": make_global_pool(), "logits": nn.Identity()}
            self.head = nn.Sequential(OrderedDict(parts)).train(self.training)
            self.head_hidden_size, self.num_classes, self.global_pool = self.num_features, 0, ""
        return taken

    def _positions(self, indices: Indices) -> list[int]:
        count = len(self.stages)
        listed = list(range(count))
        if isinstance(indices, int):
            listed = list(range(count - indices, count)) if 0 < indices <= count else [count]
        elif indices is not None:
            listed = [index + count if index < 0 else index for index in indices]
        if not listed or not all(0 <= index < count for index in listed):
            raise PlanError(f"the network has {count} stages; it has none at {indices}", hint=", ".join(self.stages))
        return listed

    # ------------------------------------------------------------------ running

    def forward(self, x: Tensor) -> Tensor:
        """Logits; features or maps if there are no classes."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """The maps that are pooled, ``[n, num_features, h, w]``."""
        self.check_images(x)
        for name in self.stages:
            x = self._stage(name, x)
        return self._to_pool(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """From what `forward_features` gives to logits, or to what the last layer reads."""
        if not self.global_pool:
            return x
        for name, part in self.head.named_children():
            if name not in self.neck and not (pre_logits and name == "logits"):
                x = part(x)
        return x

    def forward_intermediates(
        self,
        x: Tensor,
        indices: Indices = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The maps of some stages.

        Args:
            x: Images, ``[n, in_chans, h, w]``.
            indices: The stages.
            norm: Without effect, as no layer normalises the maps of every stage.
            stop_early: Whether to stop at the highest of them.
            output_fmt: ``"NCHW"``.
            intermediates_only: Whether to leave out what `forward_features` gives.

        Returns:
            What `forward_features` gives (the highest maps if `stop_early`), and the maps in order.
        """
        if output_fmt != "NCHW":
            raise InputShapeError(f"maps are given as NCHW; got output_fmt={output_fmt!r}")
        self.check_images(x)
        taken, kept = self._positions(indices), list[Tensor]()
        last = max(taken) if stop_early else len(self.stages) - 1
        for index, name in enumerate(self.stages[: last + 1]):
            x = self._stage(name, x)
            if index in taken:
                kept.append(x)
        if intermediates_only:
            return kept
        return (self._to_pool(x) if last == len(self.stages) - 1 else x), kept

    def _stage(self, name: str, x: Tensor) -> Tensor:
        stage = self.get_submodule(name)
        if self.grad_checkpointing:
            output: Any = checkpoint(stage, x, use_reentrant=False)
            return output
        return stage(x)

    def _to_pool(self, x: Tensor) -> Tensor:
        for name in self.neck:
            x = self.head.get_submodule(name)(x)
        return x


@final
class TimmFeatures(nn.Module):
    """The maps of some stages as a list, as timm's ``features_only=True`` gives them.

    Args:
        model: The network, from which the stages above and the head are dropped.
        indices: The stages.

    Shape:
        ``[n, in_chans, h, w]`` to one ``[n, channels, h, w]`` per stage, from the image upwards.
    """

    output_fmt = "NCHW"

    def __init__(self, model: TimmModel, indices: Indices = None) -> None:
        super().__init__()
        taken = model.prune_intermediate_layers(indices, prune_norm=True)
        self.model = model
        self.feature_info = FeatureInfo(model.feature_info, taken)
        self.pretrained_cfg = self.default_cfg = model.pretrained_cfg

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """See `TimmModel.set_grad_checkpointing`."""
        self.model.set_grad_checkpointing(enable)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Run the stages."""
        maps = self.model.forward_intermediates(x, self.feature_info.out_indices, intermediates_only=True)
        assert isinstance(maps, list)
        return maps


def create_model(
    model_name: str,
    pretrained: bool = False,
    *,
    num_classes: int | None = None,
    in_chans: int | None = None,
    global_pool: str | None = None,
    features_only: bool = False,
    out_indices: Indices = None,
    feature_cls: str | None = None,
    drop_rate: float | None = None,
    drop_path_rate: float | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> TimmModel | TimmFeatures:
    """Build one of our networks as ``timm.create_model`` builds its own.

    Args:
        model_name: As for `striate.create_model`.
        pretrained: Whether to load weights, those of ``NAME:WEIGHTS`` or the default ones.
        num_classes: Length of the output; 0 returns features, None takes the published number.
        in_chans: Channels of the images; None takes the published number.
        global_pool: See `GlobalPool`; None averages.
        features_only: Whether to return the maps of stages.
        out_indices: The stages, with `features_only`.
        feature_cls: ``"list"``, ``"getter"``, ``"hook"`` or ``"fx"``, which give the same list here.
        drop_rate: Probability of dropping a feature before the last layer in training; None takes the published one.
        drop_path_rate: As for `striate.create_model`.
        device: Where the parameters are made; None takes the current device.
        dtype: Type of the parameters; None takes the current one.

    Raises:
        UnknownModelError: No network has the name.
        PlanError: An argument has another value than those above.

    Example:
        >>> create_model("resnet20_cifar", num_classes=0)(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 64])
    """
    if feature_cls not in (None, "list", "getter", "hook", "fx"):
        raise PlanError(f"feature_cls is 'list', 'getter', 'hook' or 'fx'; got {feature_cls!r}")
    with torch.device(device) if device is not None else torch.device(torch.get_default_device()):
        model, preprocess, name = _build(model_name, pretrained, num_classes or None, in_chans, drop_path_rate)
    made = TimmModel(model.to(device=device, dtype=dtype), preprocess, name)
    if drop_rate is not None:
        _set_drop_rate(made, drop_rate)
    if features_only:
        return TimmFeatures(made, out_indices)
    if num_classes == 0 or global_pool not in (None, "avg"):
        made.reset_classifier(made.num_classes if num_classes is None else num_classes, global_pool)
    return made


def _build(
    name: str, pretrained: bool, classes: int | None, in_channels: int | None, drop_path_rate: float | None
) -> tuple[ImageModel, Preprocess, str]:
    """The network, what is done to an image before it, and its name in the registry."""
    network, tag = split_name(name)
    if pretrained or tag is not None:
        full = name if tag is not None else f"{name}:default"
        opened = open_model(full, classes=classes, in_channels=in_channels, drop_path_rate=drop_path_rate)
        return opened.model, opened.preprocess, opened.name
    assert network is not None  # without weights it is the text
    entry = REGISTRY.get(network)
    options = {} if drop_path_rate is None else entry.drop_path_options(drop_path_rate)
    model = entry.classifier(classes=classes, in_channels=in_channels, options=options)
    channels = entry.input[0] if in_channels is None else in_channels
    shape = (channels if channels == 1 else 3, *entry.input[1:])
    return model, default_preprocess(shape), entry.name


def _set_drop_rate(model: TimmModel, rate: float) -> None:
    """Drop features before the last layer with this probability."""
    layers = [layer for layer in model.head.modules() if isinstance(layer, nn.Dropout)]
    for layer in layers:
        layer.p = rate
    if not layers:
        parts = OrderedDict(model.head.named_children(), drop=nn.Dropout(rate))
        parts.move_to_end("logits")
        model.head = nn.Sequential(parts).train(model.training)


def _config(model: TimmModel, preprocess: Preprocess, architecture: str) -> dict[str, Any]:
    """What timm's tools read of a network and its input; mean and deviation are those of pixels from 0 to 1."""
    shapes, like = on_meta(model), next(model.parameters())
    assert isinstance(shapes, TimmModel)
    with torch.no_grad():
        maps = shapes.forward_features(like.new_empty((1, model.in_chans, *preprocess.size), device="meta"))
    low, high = preprocess.value_range
    first = next(name for name, each in model.named_modules() if isinstance(each, nn.Conv2d | nn.Linear))
    side = preprocess.size[0]
    return {
        "url": "",
        "architecture": architecture,
        "num_classes": model.num_classes,
        "input_size": (model.in_chans, *preprocess.size),
        "fixed_input_size": model.max_side is not None,
        "crop_pct": 1.0 if preprocess.resize is None else side / preprocess.resize,
        "interpolation": preprocess.interpolation,
        "mean": tuple((each - low) / (high - low) for each in preprocess.mean),
        "std": tuple(each / (high - low) for each in preprocess.std),
        "pool_size": tuple(maps.shape[2:]),
        "first_conv": first,
        "classifier": "head.logits",
    }
