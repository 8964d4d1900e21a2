"""Learning rates that fall with depth: what lies further from the head knows more of images in general."""

from __future__ import annotations

from collections.abc import Sequence

HEAD = 2.0
FALL = 0.5


def falling(stages: Sequence[str], prefix: str) -> dict[str, float]:
    """Learning-rate scale of every trained stage and of the head.

    The top stage and the pretrained parts of the head have a scale of 1, each stage below has half the scale of the one
    above, and the new last layer has twice the full learning rate.

    Args:
        stages: The trained stages, from the image upwards.
        prefix: What stands before the stage's name in the names of parameters, such as ``"model."``.

    Source:
        Howard and Ruder 2018, Universal Language Model Fine-tuning (arXiv 1801.06146), section 3.2, with a larger fall
        because a stage here holds several layers.

    Example:
        >>> falling(["stage3", "stage4"], "")
        {'head.logits.': 2.0, 'head.': 1.0, 'stage4.': 1.0, 'stage3.': 0.5}
    """
    scales = {f"{prefix}head.logits.": HEAD, f"{prefix}head.": 1.0}
    for above, stage in enumerate(reversed(stages)):
        scales[f"{prefix}{stage}."] = FALL**above
    return scales
