"""Keras' names (``layer/weight``) and layouts: kernels end in their output, and pictures end in their channels."""

from __future__ import annotations

from torch import Tensor

from striate.models.base import ImageModel
from striate.weights.maps.places import units
from striate.weights.maps.rules import Rule

_KERNEL = r"(?:depthwise_)?kernel"  # Keras 2 and 3 name a depthwise kernel differently


def convolution(tensor: Tensor) -> Tensor:
    """``[h, w, in, out]`` to ``[out, in, h, w]``."""
    return tensor.permute(3, 2, 0, 1)


def depthwise(tensor: Tensor) -> Tensor:
    """``[h, w, channels, multiplier]`` to ``[channels * multiplier, 1, h, w]``."""
    h, w, channels, multiplier = tensor.shape
    return tensor.permute(2, 3, 0, 1).reshape(channels * multiplier, 1, h, w)


def dense(tensor: Tensor) -> Tensor:
    """``[in, out]`` to ``[out, in]``; a 1x1 convolution is a dense layer too."""
    return tensor.flatten(0, -2).t()


def flattened(side: int) -> Rule:
    """The first dense layer after a grid of `side` x `side`, which Keras flattens with the channels last."""

    def move(tensor: Tensor) -> Tensor:
        channels = tensor.shape[0] // side**2
        return tensor.reshape(side, side, channels, -1).permute(3, 2, 0, 1).flatten(1)

    return Rule(r"fc1/kernel", "head.fc6.0.weight", move)


def norm(theirs: str, ours: str) -> list[Rule]:
    """A batch normalisation."""
    names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    return [Rule(f"{theirs}/{name}", f"{ours}.{our_name}") for name, our_name in names.items()]


def resnet(_model: ImageModel) -> list[Rule]:
    """Residual networks with bottlenecks; their convolutions have biases, though a normalisation follows."""
    unit, ours = r"conv(\d)_block(\d+)_", "stage{1-1}.unit{2}."
    main, short = ours + "residual.conv{3}", ours + "shortcut"
    return [
        Rule(r"conv1_conv/kernel", "stem.conv.weight", convolution),
        Rule(r"conv1_conv/bias", "stem.norm.running_mean", subtract=True),
        *norm("conv1_bn", "stem.norm"),
        Rule(unit + r"0_conv/kernel", short + ".conv.weight", convolution),
        Rule(unit + r"0_conv/bias", short + ".norm.running_mean", subtract=True),
        *norm(unit + r"0_bn", short + ".norm"),
        Rule(unit + r"(\d)_conv/kernel", main + ".conv.weight", convolution),
        Rule(unit + r"(\d)_conv/bias", main + ".norm.running_mean", subtract=True),
        *norm(unit + r"(\d)_bn", main + ".norm"),
        *logits(r"(?:predictions|probs|fc1000)"),
    ]


def vgg(_model: ImageModel) -> list[Rule]:
    """VGG without normalisation."""
    return [
        Rule(r"block1_conv(\d)/kernel", "stem.conv{1}.conv.weight", convolution),
        Rule(r"block1_conv(\d)/bias", "stem.conv{1}.conv.bias"),
        Rule(r"block(\d)_conv(\d)/kernel", "stage{1-1}.conv{2}.conv.weight", convolution),
        Rule(r"block(\d)_conv(\d)/bias", "stage{1-1}.conv{2}.conv.bias"),
        flattened(7),
        Rule(r"fc1/bias", "head.fc6.0.bias"),
        Rule(r"fc2/kernel", "head.fc7.0.weight", dense),
        Rule(r"fc2/bias", "head.fc7.0.bias"),
        *logits("predictions"),
    ]


def mobilenet_v1(model: ImageModel) -> list[Rule]:
    """MobileNet v1; units are counted through, and the classifier is a 1x1 convolution."""
    rules = [Rule(r"conv1/kernel", "stem.conv.conv.weight", convolution), *norm("conv1_bn", "stem.conv.norm")]
    for number, (path, _) in enumerate(units(model), start=1):
        rules += [
            Rule(rf"conv_dw_{number}/{_KERNEL}", f"{path}.depthwise.conv.weight", depthwise),
            *norm(rf"conv_dw_{number}_bn", f"{path}.depthwise.norm"),
            Rule(rf"conv_pw_{number}/kernel", f"{path}.pointwise.conv.weight", convolution),
            *norm(rf"conv_pw_{number}_bn", f"{path}.pointwise.norm"),
        ]
    return [*rules, *logits("conv_preds")]


def mobilenet_v2(model: ImageModel) -> list[Rule]:
    """MobileNet v2; units are counted through from 0, the first by another name."""
    rules = [Rule(r"Conv1/kernel", "stem.conv.conv.weight", convolution), *norm("bn_Conv1", "stem.conv.norm")]
    for number, (path, unit) in enumerate(units(model)):
        theirs = f"block_{number}_" if number else "expanded_conv_"
        for part, _ in unit.get_submodule("residual").named_children():
            ours, move = f"{path}.residual.{part}", depthwise if part == "depthwise" else convolution
            rules += [
                Rule(f"{theirs}{part}/{_KERNEL}", f"{ours}.conv.weight", move),
                *norm(f"{theirs}{part}_BN", f"{ours}.norm"),
            ]
    last = f"{model.stages[-1]}.last"
    return [
        *rules,
        Rule(r"Conv_1/kernel", f"{last}.conv.weight", convolution),
        *norm("Conv_1_bn", f"{last}.norm"),
        *logits("(?:predictions|Logits)"),
    ]


def logits(theirs: str) -> list[Rule]:
    """The classifier."""
    return [Rule(f"{theirs}/kernel", "head.logits.weight", dense), Rule(f"{theirs}/bias", "head.logits.bias")]


FAMILIES = {"mobilenet_v1": mobilenet_v1, "mobilenet_v2": mobilenet_v2, "resnet": resnet, "vgg": vgg}
