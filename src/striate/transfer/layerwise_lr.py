"""Learning rates that fall with depth: the lower a stage, the more general its features are."""

from __future__ import annotations

from collections.abc import Sequence

HEAD = 2.0
DECAY = 0.5


def layerwise_lr(stages: Sequence[str], prefix: str, before_pool: Sequence[str] = ()) -> dict[str, float]:
    """The factor of the learning rate for each trained stage and the head.

    The top stage has the full learning rate, and so do the head's parts before pooling. Each stage below has half the
    learning rate of the stage above, and the rest of the head has twice that of the top stage.

    Args:
        stages: The trained stages, from the image upwards.
        prefix: What the parameters' names have before the stage's name, such as ``"model."``.
        before_pool: The parts of the head that come before pooling.

    Source:
        Howard and Ruder 2018, Universal Language Model Fine-tuning (arXiv 1801.06146), section 3.2, with a stronger
        decay because a stage here has several layers.

    Example:
        >>> layerwise_lr(["stage3", "stage4"], "")
        {'head.': 2.0, 'stage4.': 1.0, 'stage3.': 0.5}
    """
    factors = {f"{prefix}head.": HEAD} | {f"{prefix}head.{part}.": 1.0 for part in before_pool}
    for above, stage in enumerate(reversed(stages)):
        factors[f"{prefix}{stage}."] = DECAY**above
    return factors
