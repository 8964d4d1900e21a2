"""What do shared weights and neighbourhoods bring? A fully connected network, and LeNet-5 with as many parameters.

Source: LeCun et al. 1998, section III.C, which sets a network of 28x28-300-100-10 units beside its convolutional ones.

``python experiments/dense_against_conv.py --root data/mnist --budget 30m --out runs/dense``
"""

from __future__ import annotations

from experiment import Arm, Experiment, Row, main, ordered
from striate.core.words import percent
from striate.models.lenet import PAPER, TINY, LeNet, LeNetSpec
from striate.models.registry import register

WIDE = LeNetSpec(widths=(13, 34, 244), hidden=187)  # found by trial: as many parameters as the dense one, to 1 %
register(LeNet, {"lenet5_wide": WIDE}, tiny=TINY, paper=PAPER, input=(1, 32, 32), classes=10, family=__name__)


def findings(rows: dict[str, Row]) -> list[str]:
    """The order, and how equal the parameters are."""
    dense, conv = rows["dense"].parameters, rows["convolutional"].parameters
    return [ordered(list(rows.values())), f"Parameters differ by {percent(abs(conv - dense) / dense)}."]


EXPERIMENT = Experiment(
    title="Dense against convolutional, with equal parameters",
    data="mnist",
    arms=(
        Arm(label="dense", network="mlp", recipe="lenet_short"),
        Arm(label="convolutional", network="lenet5_wide", recipe="lenet_short"),
    ),
    findings=findings,
    training_error=True,
)

if __name__ == "__main__":
    main(EXPERIMENT)
