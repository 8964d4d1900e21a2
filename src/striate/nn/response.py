"""Local response normalisation, with the constants that papers print."""

from __future__ import annotations

from torch import nn


def response_norm(*, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0) -> nn.LocalResponseNorm:
    """Divide every map by what its neighbours among the maps answer at the same position.

    Source:
        Krizhevsky et al. 2012, section 3.3, ``b_i = a_i / (k + alpha * sum_j a_j^2)^beta``, over maps around i.

    Args:
        size: Neighbouring maps that share a response (the paper's n).
        alpha: Weight of their sum of squares. PyTorch and Caffe divide it by `size`; the paper does not.
        beta: Exponent.
        k: Constant beside the sum.
    """
    return nn.LocalResponseNorm(size, alpha=alpha * size, beta=beta, k=k)
