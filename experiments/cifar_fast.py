"""How close does a training run of minutes come to ResNet-20 with the whole recipe of its paper?

``python experiments/cifar_fast.py --root data/cifar10 --schedule-fraction 1 --out runs/cifar_fast``
"""

from __future__ import annotations

from experiment import Arm, Experiment, Row, main
from striate.core.durations import format_duration
from striate.core.words import percent

FAST, FULL = "airbench in minutes", "ResNet-20"


def findings(rows: dict[str, Row]) -> list[str]:
    """The difference of the test accuracies, whether their intervals overlap, and the times."""
    fast, full = rows[FAST], rows[FULL]
    points = 100 * (full.test_error - fast.test_error)
    disjoint = fast.test_interval[1] < full.test_interval[0] or full.test_interval[1] < fast.test_interval[0]
    relation = "do not overlap" if disjoint else "overlap, so this test set cannot distinguish the two"
    found = [
        f"The test accuracy of {FAST} is {abs(points):.2f} points {'above' if points > 0 else 'below'} that of {FULL}; "
        f"their intervals {relation}.",
        f"It takes {format_duration(fast.seconds)}, {FULL} for {format_duration(full.seconds)}.",
    ]
    if full.fraction < 1:
        found.append(f"{FULL} was trained with {percent(full.fraction)} of its recipe; all of it would improve it.")
    return found


EXPERIMENT = Experiment(
    title="CIFAR-10 in minutes",
    data="cifar10",
    arms=(
        Arm(label=FAST, network="airbench94", recipe="resnet_cifar_fast"),
        Arm(label=FULL, network="resnet20_cifar", recipe="resnet_2015"),
    ),
    findings=findings,
)

if __name__ == "__main__":
    main(EXPERIMENT)
