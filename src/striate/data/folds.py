"""Folds of a cross-validation, by keyed draws.

scikit-learn's StratifiedKFold would do, but its folds may change between its versions, and every result with them.
"""

from __future__ import annotations

import numpy as np

from striate.core.seed import generator


def fold_of(strata: np.ndarray, seed: int, folds: int) -> np.ndarray:
    """The fold of every sample; each stratum is spread evenly over the folds.

    Args:
        strata: The stratum of every sample, such as its class, int64 ``[n]``.
        seed: Random seed.
        folds: Number of folds.

    Returns:
        int64 ``[n]``, from 0 to ``folds - 1``.
    """
    rng = generator(seed, "folds")
    result = np.empty(len(strata), dtype=np.int64)
    start = 0
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        result[members] = (start + np.arange(len(members))) % folds
        start += len(members)  # small strata do not all begin with fold 0
    return result
