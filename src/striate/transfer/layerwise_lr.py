"""Learning rates that fall with depth: the lower a stage, the more general its features are."""

from __future__ import annotations

from collections.abc import Sequence

LAST_LAYER = 2.0
DECAY = 0.5


def layerwise_lr(stages: Sequence[str], prefix: str) -> dict[str, float]:
    """The factor of the learning rate for each trained stage and the head.

    The top stage and the pretrained parts of the head have a factor of 1, each stage below has half the factor of the
    stage above, and the new last layer has twice the full learning rate.

    Args:
        stages: The trained stages, from the image upwards.
        prefix: What the parameters' names have before the stage's name, such as ``"model."``.

    Source:
        Howard and Ruder 2018, Universal Language Model Fine-tuning (arXiv 1801.06146), section 3.2, with a stronger
        decay because a stage here has several layers.

    Example:
        >>> layerwise_lr(["stage3", "stage4"], "")
        {'head.logits.': 2.0, 'head.': 1.0, 'stage4.': 1.0, 'stage3.': 0.5}
    """
    factors = {f"{prefix}head.logits.": LAST_LAYER, f"{prefix}head.": 1.0}
    for above, stage in enumerate(reversed(stages)):
        factors[f"{prefix}{stage}."] = DECAY**above
    return factors
