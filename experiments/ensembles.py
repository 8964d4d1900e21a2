"""What do ensembles and test-time augmentation contribute, compared with a single network?

The ensembles are three seeds of one network, each with the whole schedule; the snapshots of one run of the same length
(Huang et al. 2017, arXiv 1704.00109); and two architectures. Each is evaluated with and without mirrored images.

``python experiments/ensembles.py --root data/fashion_mnist --budget 2h --out runs/ensembles``
"""

from __future__ import annotations

from experiment import Arm, Combination, Experiment, Row, main, ranking
from striate.models.cifar_resnet import PADDED, TINY, CifarResNet
from striate.models.registry import register
from striate.models.resnet import ResNetSpec
from striate.models.wide_resnet import PAPER, wide

VARIANTS = {
    "ensemble_deep": ResNetSpec(unit=PADDED, blocks=(2, 2, 2), stem_width=12),
    "ensemble_wide": ResNetSpec(unit=wide(2), blocks=(1, 1, 1), stem_width=8),
}
register(CifarResNet, VARIANTS, tiny=TINY, paper=PAPER, input=(1, 28, 28), classes=10, family=__name__)
SEEDS, CYCLES, TTA = 3, 5, "mirror"
NAMES = tuple(f"seed {seed}" for seed in range(SEEDS))


def findings(rows: dict[str, Row]) -> list[str]:
    """Rank the arms by test error."""
    return [ranking(list(rows.values()))]


EXPERIMENT = Experiment(
    title="Ensembles and test-time augmentation",
    data="fashion_mnist",
    arms=(
        *(Arm(label=name, network="ensemble_deep", recipe="fashion_short", seed=k) for k, name in enumerate(NAMES)),
        Arm(label="cycles", network="ensemble_deep", recipe="fashion_short", snapshots=CYCLES),
        Arm(label="wide", network="ensemble_wide", recipe="fashion_short"),
    ),
    findings=findings,
    ensembles=(
        Combination(label="Three seeds", arms=NAMES, tta=TTA),
        Combination(label="Snapshots of one run", arms=("cycles",), snapshots=True, tta=TTA),
        Combination(label="Two architectures", arms=("seed 0", "wide"), tta=TTA),
    ),
)

if __name__ == "__main__":
    main(EXPERIMENT)
