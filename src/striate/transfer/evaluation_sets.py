"""Which images candidates are fitted on, and which they are evaluated on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from striate.data.folds import fold_of

CROSS_VALIDATE_UPTO = 1000
"""Up to this number of labelled images, candidates are compared by cross-validation over all of them, and the winner is
trained on all of them: a fifth of few images is too few to choose by, and too many to leave out of training. With more
images, a fixed validation set decides, and a trained winner stays as it was evaluated."""
FOLDS = 4


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvaluationSets:
    """Pairs of image sets: a candidate is fitted on the first set of a pair and evaluated on the second.

    Args:
        pairs: One pair per fold, or a single pair of the training set and the validation set.
        final: The images that the winner is trained on in the end.
    """

    pairs: tuple[tuple[np.ndarray, np.ndarray], ...]
    final: np.ndarray

    @property
    def crossed(self) -> bool:
        """Whether this is a cross-validation."""
        return len(self.pairs) > 1

    @property
    def fitted(self) -> int:
        """Images in one epoch over all folds."""
        return sum(len(fit) for fit, _ in self.pairs)

    @property
    def held_out(self) -> np.ndarray:
        """The images that candidates are evaluated on, in the order of the folds."""
        return np.concatenate([held_out for _, held_out in self.pairs])


def evaluation_sets(
    train: np.ndarray, validation: np.ndarray, strata: np.ndarray | None, *, seed: int
) -> EvaluationSets:
    """The folds of a cross-validation for few images, or the given split for many.

    Args:
        train: Positions of the training images.
        validation: Positions of the validation images.
        strata: The stratum of every image of the index, which the folds keep in proportion; None for no strata.
        seed: Random seed of the folds.
    """
    labelled = np.sort(np.concatenate([train, validation]))
    if len(labelled) > CROSS_VALIDATE_UPTO:
        return EvaluationSets(pairs=((train, validation),), final=train)
    kept = np.zeros(len(labelled), dtype=np.int64) if strata is None else strata[labelled]
    fold = fold_of(kept, seed, FOLDS)
    pairs = tuple((labelled[fold != number], labelled[fold == number]) for number in range(FOLDS))
    return EvaluationSets(pairs=pairs, final=labelled)
