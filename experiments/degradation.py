"""Does a deeper network learn worse? Plain and residual networks of 20 and 56 layers on CIFAR-10.

Source: He et al. 2015, section 4.2 and Figure 6: in training error too, plain networks grow worse with depth and
residual ones better.

``python experiments/degradation.py --root data/cifar10 --budget 8h --out runs/degradation``
"""

from __future__ import annotations

from experiment import Arm, Experiment, Row, main
from striate.core.words import percent

DEPTHS = (20, 56)
CLAIMS_FROM = 0.25
"""Below this share of the schedule residual networks of different depths are not told apart."""


def compared(rows: dict[str, Row], worse: str, better: str) -> str:
    """Which of two has the greater training error, against what was expected."""
    one, other = rows[worse].train_error, rows[better].train_error
    assert one is not None
    assert other is not None
    verdict = "as expected" if one > other else "not as expected"
    return f"Training error: {worse} {percent(one)}, {better} {percent(other)}: {verdict}."


def findings(rows: dict[str, Row]) -> list[str]:
    """What the share of the schedule that was run allows to be said."""
    fraction = min(row.fraction for row in rows.values())
    said = [compared(rows, "plain 56", "plain 20"), compared(rows, "plain 56", "residual 56")]
    if fraction >= CLAIMS_FROM:
        return [*said, compared(rows, "residual 20", "residual 56")]
    return [*said, f"{percent(fraction)} of the schedule is too little to compare the residual networks' depths."]


EXPERIMENT = Experiment(
    title="Degradation: plain and residual networks on CIFAR-10",
    data="cifar10",
    arms=tuple(
        Arm(label=f"{kind} {depth}", network=f"{name}{depth}_cifar", recipe="resnet_2015")
        for kind, name in (("plain", "plain"), ("residual", "resnet"))
        for depth in DEPTHS
    ),
    findings=findings,
    training_error=True,
)

if __name__ == "__main__":
    main(EXPERIMENT)
