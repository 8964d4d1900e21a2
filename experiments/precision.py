"""What does training in bfloat16 cost in accuracy? ResNet-20 on CIFAR-10, pairs that differ in precision alone.

A pair starts from the same weights and sees the same images, varied alike, in the same order.

``python experiments/precision.py --root data/cifar10 --budget 2h --out runs/precision``
"""

from __future__ import annotations

from statistics import mean, stdev

from scipy.stats import t

from experiment import Arm, Experiment, Row, main

SEEDS = (0, 1, 2, 3, 4)
PRECISIONS = ("float32", "bf16")


def findings(rows: dict[str, Row]) -> list[str]:
    """The mean difference within pairs, and what the pairs can tell apart."""
    points = [
        100 * (rows[f"bf16, seed {seed}"].test_error - rows[f"float32, seed {seed}"].test_error) for seed in SEEDS
    ]
    reach = float(t.ppf(0.975, len(points) - 1)) * stdev(points) / len(points) ** 0.5
    low, high = mean(points) - reach, mean(points) + reach
    each = ", ".join(f"{point:+.2f}" for point in points)
    spread = stdev([100 * rows[f"float32, seed {seed}"].test_error for seed in SEEDS])
    times = [rows[f"float32, seed {seed}"].seconds / rows[f"bf16, seed {seed}"].seconds for seed in SEEDS]
    return [
        f"bfloat16 changes the test error by {mean(points):+.2f} points on average (95 % interval {low:+.2f} to "
        f"{high:+.2f}; pair by pair {each}).",
        f"Another seed alone changes it by {spread:.2f} points (standard deviation).",
        f"Its trainings take {mean(times):.2f} times less time.",
    ]


EXPERIMENT = Experiment(
    title="ResNet-20 in float32 and in bfloat16",
    data="cifar10",
    arms=tuple(
        Arm(
            label=f"{precision}, seed {seed}",
            network="resnet20_cifar",
            recipe="cifar_short",
            precision=precision,
            seed=seed,
        )
        for seed in SEEDS
        for precision in PRECISIONS
    ),
    findings=findings,
)

if __name__ == "__main__":
    main(EXPERIMENT)
