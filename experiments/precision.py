"""Does training in bfloat16 cost accuracy? Pairs of ResNet-20 on CIFAR-10 that differ only in precision.

Both networks of a pair start from the same weights and train on the same images in the same order, with the same
augmentation.

``python experiments/precision.py --root data/cifar10 --budget 2h --out runs/precision``
"""

from __future__ import annotations

from statistics import mean, stdev

from scipy.stats import t

from experiment import Arm, Experiment, Row, main

SEEDS = (0, 1, 2, 3, 4)
PRECISIONS = ("float32", "bf16")


def findings(rows: dict[str, Row]) -> list[str]:
    """The mean difference within the pairs with its interval, and the effect of the seed."""
    points = [
        100 * (rows[f"bf16, seed {seed}"].test_error - rows[f"float32, seed {seed}"].test_error) for seed in SEEDS
    ]
    margin = float(t.ppf(0.975, len(points) - 1)) * stdev(points) / len(points) ** 0.5
    low, high = mean(points) - margin, mean(points) + margin
    each = ", ".join(f"{point:+.2f}" for point in points)
    spread = stdev([100 * rows[f"float32, seed {seed}"].test_error for seed in SEEDS])
    times = [rows[f"float32, seed {seed}"].seconds / rows[f"bf16, seed {seed}"].seconds for seed in SEEDS]
    return [
        f"bfloat16 changes the test error by {mean(points):+.2f} points on average (95 % interval {low:+.2f} to "
        f"{high:+.2f}; pair by pair {each}).",
        f"Another seed alone changes it by {spread:.2f} points (standard deviation).",
        f"Training in bfloat16 is {mean(times):.2f} times as fast.",
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
