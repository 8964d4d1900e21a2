"""How far do few parameters go on Fashion-MNIST? One residual network, from small to wide.

The two larger stay below 100,000 and 200,000 parameters.

``python experiments/fashion.py --root data/fashion_mnist --budget 2h --out runs/fashion``
"""

from __future__ import annotations

from experiment import Arm, Experiment, Row, main, ordered
from striate.models.cifar_resnet import PADDED, TINY, CifarResNet
from striate.models.registry import register
from striate.models.resnet import PAPER, ResNetSpec

WIDTHS = {"fashion_small": 6, "fashion_middle": 12, "fashion_wide": 17}
"""Channels of the stem, and of stage1; two units a stage make 14 layers."""
VARIANTS = {name: ResNetSpec(unit=PADDED, blocks=(2, 2, 2), stem_width=width) for name, width in WIDTHS.items()}
register(CifarResNet, VARIANTS, tiny=TINY, paper=PAPER, input=(1, 28, 28), classes=10, family=__name__)


def findings(rows: dict[str, Row]) -> list[str]:
    """The order."""
    return [ordered(list(rows.values()))]


EXPERIMENT = Experiment(
    title="Fashion-MNIST, from small to wide",
    data="fashion_mnist",
    arms=tuple(Arm(label=name.removeprefix("fashion_"), network=name, recipe="fashion_short") for name in VARIANTS),
    findings=findings,
)

if __name__ == "__main__":
    main(EXPERIMENT)
