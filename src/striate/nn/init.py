"""How weights begin."""

from __future__ import annotations

from torch import nn


def he(module: nn.Module) -> None:
    """Initialise convolutions for ReLU, normalisations as the identity, linear layers small.

    Source:
        He et al. 2015, Delving Deep into Rectifiers (arXiv 1502.01852), equation 10 with fan-out, as the
        residual networks use it; linear layers normal with a standard deviation of 0.01.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)


def xavier(module: nn.Module) -> None:
    """Initialise convolutions and linear layers for saturating activations.

    Source:
        Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks, equation 16.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def truncated(module: nn.Module, *, deviation: float = 0.02) -> None:
    """Initialise convolutions and linear layers from a normal distribution truncated at two deviations; zero biases.

    Source:
        Liu et al. 2022, A ConvNet for the 2020s (arXiv 2201.03545), Table 5.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
