"""Learning rates that fall with depth: what lies further from the head knows more of images in general."""

from __future__ import annotations

from collections.abc import Sequence

HEAD = 2.0
FALL = 0.5


def falling(stages: Sequence[str], prefix: str) -> dict[str, float]:
    """Share of the rate for every trained stage and the head.

    The top stage has the full rate, each stage below half of the one above, and the head twice the full rate.

    Args:
        stages: The trained stages, from the image upwards.
        prefix: What parameters' names begin with before the stage's name, such as ``"model."``.

    Source:
        Howard and Ruder 2018, Universal Language Model Fine-tuning (arXiv 1801.06146), section 3.2, with a larger fall
        because a stage here holds several layers.

    Example:
        >>> falling(["stage3", "stage4"], "")
        {'head.': 2.0, 'stage4.': 1.0, 'stage3.': 0.5}
    """
    shares = {f"{prefix}head.": HEAD}
    for above, stage in enumerate(reversed(stages)):
        shares[f"{prefix}{stage}."] = FALL**above
    return shares
