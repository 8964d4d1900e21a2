"""What do stochastic depth and shake-shake contribute? Each is compared with the same network without it.

Sources: Huang et al. 2016 (arXiv 1603.09382), Figure 3: randomly skipped units; Gastaldi 2017 (arXiv 1705.07485),
Table 1: randomly mixed branches (rows Shake-Shake-Image) against their mean (rows Even-Even-Batch). All arms use one
recipe, so the two networks of a pair differ only in the regulariser.

``python experiments/regularisers.py --root data/cifar10 --budget 12h --out runs/regularisers``
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from experiment import Arm, Experiment, Row, main, ranking
from striate.core.words import percent
from striate.models.cifar_resnet import TINY, CifarResNet
from striate.models.registry import register
from striate.models.resnet import Place, ResNetSpec
from striate.models.resnet_v2 import RELU_FIRST, Body, Layers, OrderedSpec
from striate.models.shake_shake import PAPER, shaken, two_way
from striate.models.stochastic_depth import StochasticDepthUnitSpec
from striate.models.wide_resnet import WideBasicSpec


@final
class Mean(nn.Module):
    """The mean of two modules, also in training.

    Shape:
        ``[n, c, h, w]`` to the output shape of the modules.
    """

    def __init__(self, one: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.one = one
        self.other = other

    def forward(self, x: Tensor) -> Tensor:
        """Average the outputs of the two modules."""
        return 0.5 * (self.one(x) + self.other(x))


@dataclass(frozen=True, slots=True, kw_only=True)
class Even:
    """The unit of Shake-Shake with equal weights of the two branches.

    Args:
        body: Layers of each branch.
    """

    body: Body

    @property
    def expansion(self) -> int:
        """Ratio of the output channels to the width."""
        return self.body.expansion

    def build(self, place: Place) -> nn.Module:
        """The unit for a place."""
        ordered_ = OrderedSpec(body=self.body, order=RELU_FIRST)

        def pair(place: Place, before: Layers) -> nn.Module:
            return Mean(ordered_.residual(place, before), ordered_.residual(place, before))

        return ordered_.around(pair, place)


VARIANTS = {
    "stochastic_depth_resnet56": ResNetSpec(unit=StochasticDepthUnitSpec(), blocks=(9, 9, 9), stem_width=16),
    "even_26_2x16d": ResNetSpec(
        unit=Even(body=WideBasicSpec(factor=1, shortcut=two_way)), blocks=(4, 4, 4), stem_width=16
    ),
    "shake_shake_26_2x16d": ResNetSpec(unit=shaken(1), blocks=(4, 4, 4), stem_width=16),
}
register(CifarResNet, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 32, 32), classes=10, family=__name__)
PAIRS = (("residual 56", "stochastic depth 56"), ("two branches", "shake-shake"))


def findings(rows: dict[str, Row]) -> list[str]:
    """Rank the arms, and compare each regulariser with its baseline."""
    changes = [
        f"Compared with {plain}, {noisy} changes the test error by "
        f"{100 * (rows[noisy].test_error - rows[plain].test_error):+.1f} points."
        for plain, noisy in PAIRS
    ]
    fraction = min(row.fraction for row in rows.values())
    return [
        ranking(list(rows.values())),
        *changes,
        f"The arms were trained with {percent(fraction)} of the schedule; regularisers need long schedules to help.",
    ]


EXPERIMENT = Experiment(
    title="Regularisers of residual networks",
    data="cifar10",
    arms=tuple(
        Arm(label=label, network=network, recipe="resnet_2015")
        for label, network in zip(
            (label for pair in PAIRS for label in pair),
            ("resnet56_cifar", "stochastic_depth_resnet56", "even_26_2x16d", "shake_shake_26_2x16d"),
            strict=True,
        )
    ),
    findings=findings,
)

if __name__ == "__main__":
    main(EXPERIMENT)
