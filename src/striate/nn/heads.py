"""What turns the last stage's maps into logits: a row of named parts ending in ``logits``."""

from __future__ import annotations

from collections import OrderedDict
from typing import final

from torch import Tensor, nn

from striate.core.errors import InputShapeError


def _fresh(width: int, classes: int, like: Tensor) -> nn.Linear:
    layer = nn.Linear(width, classes, device=like.device, dtype=like.dtype)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


@final
class Head(nn.Sequential):
    """A row of named parts, the last of them ``logits``, which is dense.

    Shape:
        ``[n, channels, h, w]`` to ``[n, classes]``.
    """

    def __init__(self, parts: dict[str, nn.Module]) -> None:
        super().__init__(OrderedDict(parts))
        if not isinstance(self[-1], nn.Linear) or next(reversed(parts)) != "logits":
            raise ValueError("a head ends in a dense part called 'logits'")

    @property
    def part_names(self) -> tuple[str, ...]:
        """The parts in order."""
        return tuple(self._modules)

    @property
    def hidden(self) -> tuple[str, ...]:
        """The parts before ``logits`` that learn, whose outputs are features too (``fc6``, ``fc7``, ``norm``)."""
        learning = (name for name, part in self.named_children() if next(part.parameters(), None) is not None)
        return tuple(name for name in learning if name != "logits")

    def width(self, part: str) -> int:
        """Length of the output of one of the `hidden` parts."""
        layer = [m for m in self.get_submodule(part).modules() if isinstance(m, nn.Linear | nn.LayerNorm)][-1]
        return layer.out_features if isinstance(layer, nn.Linear) else layer.normalized_shape[0]

    @property
    def logits_layer(self) -> nn.Linear:
        """The last part."""
        layer = self[-1]
        assert isinstance(layer, nn.Linear)
        return layer

    def run(self, features: Tensor, upto: str | None = None) -> Tensor:
        """Run the parts, all or up to and with the one called `upto`.

        Args:
            features: The last stage's maps, ``[n, channels, h, w]``.
            upto: The last part to run; None runs all.
        """
        if upto is not None and upto not in self._modules:
            raise InputShapeError(f"the head has no part {upto!r}", hint=f"parts: {', '.join(self.part_names)}")
        for name, part in self.named_children():
            features = part(features)
            if name == upto:
                break
        return features

    def upto(self, part: str, classes: int) -> Head:
        """A head of the parts up to and with the hidden part `part` (shared, not copied) and a fresh ``logits``."""
        kept: dict[str, nn.Module] = {}
        for name, module in self.named_children():
            kept[name] = module
            if name == part:
                break
        return Head(kept | {"logits": _fresh(self.width(part), classes, self.logits_layer.weight)})

    def replace_logits(self, classes: int) -> None:
        """Put a fresh ``logits`` part for another number of classes (Xavier weights, zero biases)."""
        self[len(self) - 1] = _fresh(self.logits_layer.in_features, classes, self.logits_layer.weight)


def global_pool(side: int = 1) -> nn.Sequential:
    """Average any maps to a grid of `side` x `side` positions, and flatten them.

    Args:
        side: Positions along each side; 1 averages over the whole image.

    Shape:
        ``[n, channels, h, w]`` to ``[n, channels * side * side]``.
    """
    return nn.Sequential(nn.AdaptiveAvgPool2d(side), nn.Flatten())


def pooled_head(channels: int, classes: int, *, dropout: float = 0.0) -> Head:
    """Global average pooling, then ``logits``.

    Args:
        channels: Channels of the last stage.
        classes: Length of the output.
        dropout: Chance that a pooled feature is dropped in training.
    """
    parts: dict[str, nn.Module] = {"pool": global_pool()}
    if dropout:
        parts["drop"] = nn.Dropout(dropout)
    return Head(parts | {"logits": nn.Linear(channels, classes)})
