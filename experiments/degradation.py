"""Do deeper networks train worse? Plain and residual networks of 20 and 56 layers on CIFAR-10.

Source: He et al. 2015, section 4.2 and Figure 6: with depth, the training error of plain networks rises, and that of
residual networks falls.

``python experiments/degradation.py --root data/cifar10 --budget 8h --out runs/degradation``
"""

from __future__ import annotations

from experiment import Arm, Experiment, Row, main
from striate.core.words import percent

DEPTHS = (20, 56)
MIN_FRACTION = 0.25
"""With a smaller fraction of the schedule, the depths of the residual networks are not compared."""


def compare(rows: dict[str, Row], worse: str, better: str) -> str:
    """Compare two training errors with the expectation."""
    one, other = rows[worse].train_error, rows[better].train_error
    assert one is not None
    assert other is not None
    verdict = "as expected" if one > other else "not as expected"
    return f"Training error: {worse} {percent(one)}, {better} {percent(other)}: {verdict}."


def findings(rows: dict[str, Row]) -> list[str]:
    """Compare plain and residual networks, and the depths if the fraction of the schedule is large enough."""
    fraction = min(row.fraction for row in rows.values())
    found = [compare(rows, "plain 56", "plain 20"), compare(rows, "plain 56", "residual 56")]
    if fraction >= MIN_FRACTION:
        return [*found, compare(rows, "residual 20", "residual 56")]
    return [*found, f"{percent(fraction)} of the schedule is too short to compare the depths of the residual networks."]


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
