"""Names of github.com/akamaster/pytorch_resnet_cifar10."""

from __future__ import annotations

from striate.models.base import ImageModel
from striate.weights.maps.rules import Rule


def cifar_resnet(_model: ImageModel) -> list[Rule]:
    """Residual networks for CIFAR, shortcuts without parameters."""
    return [
        Rule(r"conv1\.weight", "stem.conv.weight"),
        Rule(r"bn1\.(\w+)", "stem.norm.{1}"),
        Rule(r"layer(\d)\.(\d+)\.conv(\d)\.weight", "stage{1}.unit{2+1}.residual.conv{3}.conv.weight"),
        Rule(r"layer(\d)\.(\d+)\.bn(\d)\.(\w+)", "stage{1}.unit{2+1}.residual.conv{3}.norm.{4}"),
        Rule(r"linear\.(\w+)", "head.logits.{1}"),
    ]


FAMILIES = {"cifar_resnet": cifar_resnet}
