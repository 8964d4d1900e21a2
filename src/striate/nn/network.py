"""What layers above `models` may rely on: the base classes of networks.

They are classes and not runtime-checkable protocols: since Python 3.12 `isinstance` with a protocol looks attributes up
statically, and does not find the submodules of an `nn.Module`.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn


class WithAux(nn.Module):
    """A module that may have auxiliary heads."""

    def forward_with_aux(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The logits, and the logits of each auxiliary head under the head's name."""
        raise NotImplementedError


class Network(WithAux):
    """A network over images that ends in a head, and says which image sizes it accepts."""

    head: nn.Module
    aux: nn.ModuleDict
    classes: int
    min_side: int
    max_side: int | None
    side_step: int
    size_note: ClassVar[str] = ""
    """A remark that belongs beside the network's cost."""
