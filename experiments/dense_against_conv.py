"""What does convolution contribute? A fully connected network and a LeNet-5 with equal numbers of parameters.

Source: LeCun et al. 1998, section III.C, which compares a network of 28x28-300-100-10 units with convolutional ones.

``python experiments/dense_against_conv.py --root data/mnist --budget 30m --out runs/dense``
"""

from __future__ import annotations

from experiment import Arm, Experiment, Row, main, ranking
from striate.core.words import percent
from striate.models.lenet import PAPER, TINY, LeNet, LeNetSpec
from striate.models.registry import register

WIDE = LeNetSpec(widths=(13, 34, 244), hidden=187)  # chosen so that the numbers of parameters differ by less than 1 %
register(LeNet, {"lenet5_wide": WIDE}, tiny=TINY, paper=PAPER, input=(1, 32, 32), classes=10, family=__name__)


def findings(rows: dict[str, Row]) -> list[str]:
    """Rank the networks, and state the difference of their numbers of parameters."""
    dense, conv = rows["dense"].parameters, rows["convolutional"].parameters
    return [ranking(list(rows.values())), f"Parameters differ by {percent(abs(conv - dense) / dense)}."]


EXPERIMENT = Experiment(
    title="Fully connected against convolutional, with equal parameters",
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
