"""How well does LeNet-5 read digits, by the paper's recipe and by a short one of today?

Source: LeCun et al. 1998, section III.B: 0.95 % of the test digits wrong, without distorted training digits.

``python experiments/lenet_mnist.py --root data/mnist --budget 1h --out runs/lenet``
"""

from __future__ import annotations

from experiment import Arm, Experiment, Row, main, ordered

PUBLISHED = 0.0095


def findings(rows: dict[str, Row]) -> list[str]:
    """The order, and the distance to the paper."""
    best = min(rows.values(), key=lambda row: row.test_error)
    low, high = best.test_interval
    place = "below" if low > PUBLISHED else "above" if high < PUBLISHED else "within"
    paper = f"The paper's {100 * PUBLISHED:.2f} % lies {place} the interval of {best.arm.label}."
    return [ordered(list(rows.values())), paper]


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
