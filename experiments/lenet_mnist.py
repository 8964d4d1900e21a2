"""How accurate is LeNet-5 on MNIST, with the recipe of 1998 and with a short modern one?

Source: LeCun et al. 1998, section III.B: a test error of 0.95 % without distorted training images.

``python experiments/lenet_mnist.py --root data/mnist --budget 1h --out runs/lenet``
"""

from __future__ import annotations

from experiment import Arm, Experiment, Row, main, ranking

PUBLISHED = 0.0095


def findings(rows: dict[str, Row]) -> list[str]:
    """Rank the recipes, and compare the better one with the paper."""
    best = min(rows.values(), key=lambda row: row.test_error)
    low, high = best.test_interval
    position = "below" if low > PUBLISHED else "above" if high < PUBLISHED else "within"
    paper = f"The paper's {100 * PUBLISHED:.2f} % lies {position} the interval of the {best.arm.label}."
    return [ranking(list(rows.values())), paper]


EXPERIMENT = Experiment(
    title="LeNet-5 on MNIST",
    data="mnist",
    arms=(
        Arm(label="short recipe", network="lenet5", recipe="lenet_short"),
        Arm(label="recipe of 1998", network="lenet5", recipe="lenet_1998"),
    ),
    findings=findings,
)

if __name__ == "__main__":
    main(EXPERIMENT)
