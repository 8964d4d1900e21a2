"""How near does a training of minutes come to what ResNet-20 reaches by its paper's whole recipe?

``python experiments/cifar_fast.py --root data/cifar10 --schedule-fraction 1 --out runs/cifar_fast``
"""

from __future__ import annotations

from experiment import Arm, Experiment, Row, main
from striate.core.durations import format_duration
from striate.core.words import percent

FAST, FULL = "airbench in minutes", "ResNet-20"


def findings(rows: dict[str, Row]) -> list[str]:
    """How far apart the two end, whether the test images can tell, and the times."""
    fast, full = rows[FAST], rows[FULL]
    points = 100 * (full.test_error - fast.test_error)
    apart = fast.test_interval[1] < full.test_interval[0] or full.test_interval[1] < fast.test_interval[0]
    stated = "do not overlap" if apart else "overlap, so that these test images do not tell the two apart"
    found = [
        f"In test accuracy {FAST} ends {abs(points):.2f} points {'above' if points > 0 else 'below'} {FULL}; "
        f"their intervals {stated}.",
        f"It trains for {format_duration(fast.seconds)}, {FULL} for {format_duration(full.seconds)}.",
    ]
    if full.fraction < 1:
        found.append(f"{FULL} ran {percent(full.fraction)} of its recipe and would come further with all of it.")
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
