"""Auxiliary heads: classifiers of maps in the middle of a network, of use in training alone."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from striate.core.errors import InputShapeError
from striate.models.backbone import Backbone
from striate.nn.heads import AuxHeads
from striate.nn.network import Network


class Auxiliary(Backbone, Network):
    """A network that may have auxiliary heads, in `aux`.

    It takes the arguments of `Backbone`, and one more.

    Args:
        aux_side: The smallest height and width that the auxiliary heads accept, in pixels; None means `min_side`.
    """

    aux: AuxHeads

    def __init__(
        self,
        *,
        in_channels: int,
        min_side: int = 1,
        max_side: int | None = None,
        side_step: int = 1,
        aux_side: int | None = None,
    ) -> None:
        super().__init__(in_channels=in_channels, min_side=min_side, max_side=max_side, side_step=side_step)
        self.aux_side = min_side if aux_side is None else aux_side
        self.drop_aux()

    def add_aux(self, path: str, head: nn.Module) -> None:
        """Add an auxiliary head.

        Args:
            path: Dotted path of the module whose output it reads.
            head: From that output to logits.
        """
        if not self.aux:
            self.aux = AuxHeads()
        self.aux[path.replace(".", "/")] = head
        if "head" in self._modules:  # the children of a network run in order, and its head is the last of them
            self._modules["head"] = self._modules.pop("head")

    def drop_aux(self) -> None:
        """Drop the auxiliary heads; without them `aux` is empty, and no child of the network."""
        self._modules.pop("aux", None)
        self.__dict__["aux"] = AuxHeads()

    def forward_with_aux(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits, and the logits of every auxiliary head under the dotted path of the module that it reads.

        Raises:
            InputShapeError: The network or its auxiliary heads do not accept such images.
        """
        side = min(int(x.shape[-2]), int(x.shape[-1]))
        if self.aux and self.min_side <= side < self.aux_side:
            raise InputShapeError(
                f"image side {side} px is below {self.aux_side}, the smallest that the auxiliary heads accept",
                hint="resize the images, or train without auxiliary heads: set aux_weight to 0 in the recipe",
            )
        tapped: dict[str, Tensor] = {}

        def tap(path: str) -> Any:
            def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
                tapped[path] = output

            return keep

        paths = {name: name.replace("/", ".") for name in self.aux}
        hooks = [self.get_submodule(path).register_forward_hook(tap(name)) for name, path in paths.items()]
        try:
            logits = self(x)
        finally:
            for hook in hooks:
                hook.remove()
        return logits, {paths[name]: self.aux[name](tapped[name]) for name in self.aux}
