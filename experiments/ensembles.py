"""What do several networks bring that one does not, and several looks at an image? Each beside the single network.

Three seeds of one network, each with the whole schedule; snapshots of one run that takes no longer than one of them
(Huang et al. 2017, arXiv 1704.00109); two architectures; and all of these with mirror images.

``python experiments/ensembles.py --root data/fashion_mnist --budget 2h --out runs/ensembles``
"""

from __future__ import annotations

from experiment import Arm, Experiment, Join, Row, main, ordered
from striate.models.cifar_resnet import PADDED, TINY, CifarResNet
from striate.models.registry import register
from striate.models.resnet import ResNetSpec
from striate.models.wide_resnet import PAPER, wide

VARIANTS = {
    "ensemble_deep": ResNetSpec(unit=PADDED, blocks=(2, 2, 2), stem_width=12),
    "ensemble_wide": ResNetSpec(unit=wide(2), blocks=(1, 1, 1), stem_width=8),
}
register(CifarResNet, VARIANTS, tiny=TINY, paper=PAPER, input=(1, 28, 28), classes=10, family=__name__)
SEEDS, CYCLES, VIEWS = 3, 5, "mirror"
NAMES = tuple(f"seed {seed}" for seed in range(SEEDS))


def findings(rows: dict[str, Row]) -> list[str]:
    """The order."""
    return [ordered(list(rows.values()))]


EXPERIMENT = Experiment(
    title="Ensembles and views",
    data="fashion_mnist",
    arms=(
        *(Arm(label=name, network="ensemble_deep", recipe="fashion_short", seed=k) for k, name in enumerate(NAMES)),
        Arm(label="cycles", network="ensemble_deep", recipe="fashion_short", snapshots=CYCLES),
        Arm(label="wide", network="ensemble_wide", recipe="fashion_short"),
    ),
    findings=findings,
    joins=(
        Join(label="Three seeds", arms=NAMES, tta=VIEWS),
        Join(label="Snapshots of one run", arms=("cycles",), snapshots=True, tta=VIEWS),
        Join(label="Two architectures", arms=("seed 0", "wide"), tta=VIEWS),
    ),
)

if __name__ == "__main__":
    main(EXPERIMENT)
