"""How accurate are small networks on Fashion-MNIST? One residual network in three widths.

The two larger ones have less than 100,000 and less than 200,000 parameters.

``python experiments/fashion.py --root data/fashion_mnist --budget 2h --out runs/fashion``
"""

from __future__ import annotations

from experiment import Arm, Experiment, Row, main, ranking
from striate.models.cifar_resnet import PADDED, TINY, CifarResNet
from striate.models.registry import register
from striate.models.resnet import PAPER, ResNetSpec

WIDTHS = {"fashion_small": 6, "fashion_middle": 12, "fashion_wide": 17}
"""Channels of the stem and of stage1. With two units per stage, the networks have 14 layers."""
VARIANTS = {name: ResNetSpec(unit=PADDED, blocks=(2, 2, 2), stem_width=width) for name, width in WIDTHS.items()}
register(CifarResNet, VARIANTS, tiny=TINY, paper=PAPER, input=(1, 28, 28), classes=10, family=__name__)


def findings(rows: dict[str, Row]) -> list[str]:
    """Rank the arms by test error."""
    return [ranking(list(rows.values()))]


EXPERIMENT = Experiment(
    title="Fashion-MNIST, from small to wide",
    data="fashion_mnist",
    arms=tuple(Arm(label=name.removeprefix("fashion_"), network=name, recipe="fashion_short") for name in VARIANTS),
    findings=findings,
)

if __name__ == "__main__":
    main(EXPERIMENT)
