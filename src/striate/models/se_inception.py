"""SE-Inception: GoogLeNet with a squeeze-and-excitation gate after each inception module.

Source: Hu et al. 2017, section 3 and Figure 2; reduction ratio 16, the paper's usual one.

======  ==========  =======================================================
stage   output      layers
======  ==========  =======================================================
stem    112 x 112   7x7 convolution, 64, stride 2
stage1  56 x 56     3x3 max pool; convolutions 1x1, 64 and 3x3, 192
stage2  28 x 28     3x3 max pool; 2 gated modules, 480
stage3  14 x 14     3x3 max pool; 5 gated modules, 832
stage4  7 x 7       3x3 max pool; 2 gated modules, 1024
======  ==========  =======================================================

Departures: the trunk is Table 1 of GoogLeNet, where the paper's figures of accuracy are of the later trunk with batch
normalisation. PyTorch weights are published for neither.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from striate.core.paper import Paper
from striate.models.googlenet import GoogLeNet, GoogLeNetSpec, LayerSpec, NormalisedSpec, ReducedSpec, Row, UnitSpec
from striate.models.registry import register
from striate.nn.gate import SqueezeExcite
from striate.nn.sequence import sequence

PAPER = Paper(
    authors="Hu et al.",
    year=2017,
    month=9,
    title="Squeeze-and-Excitation Networks",
    ref="arXiv 1709.01507",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedSpec:
    """Any module, and a gate on what it gives (Figure 2).

    Args:
        unit: Spec of the modules.
        reduction: Channels of a module over the width between its gate's linear layers (the paper's r).
    """

    unit: UnitSpec = field(default_factory=ReducedSpec)
    reduction: int = 16

    def __post_init__(self) -> None:
        if self.reduction < 1:
            raise ValueError(f"a reduction is at least 1; got {self.reduction}")

    def width(self, channels: int, widths: Row) -> int:
        """A gate changes no widths."""
        return self.unit.width(channels, widths)

    def build(self, channels: int, widths: Row, layer: LayerSpec) -> nn.Module:
        """A gated module whose convolutions have `widths`."""
        width = self.width(channels, widths)
        gate = SqueezeExcite(width, max(1, width // self.reduction))
        return sequence(inception=self.unit.build(channels, widths, layer), gate=gate)


VARIANTS = {"se_inception": GoogLeNetSpec(unit=GatedSpec())}
TINY = GoogLeNetSpec(
    unit=GatedSpec(reduction=4),
    layer=NormalisedSpec(),
    rows=((Row(2, 2, 3, 2, 2, 1),),) * 3,
    stem=(4, 4, 6),
    last_pool=2,
)

register(GoogLeNet, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 224, 224), classes=1000, family=__name__)
