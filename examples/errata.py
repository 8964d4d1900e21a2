"""Recomputes figures from teaching material; docs/errata.md explains the error in each."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from striate.core.meta import shapes_only
from striate.core.shapes import output_size
from striate.models import REGISTRY
from striate.models.googlenet import TABLE_1, Row
from striate.nn.reference import forward
from striate.records.sizes import SizeRecord
from striate.sizing import measure
from striate.sizing.field import Field


class Erratum(NamedTuple):
    """A figure as stated in teaching material, and the correct count."""

    what: str
    stated: str
    counted: str


def size(name: str, **options: object) -> SizeRecord:
    """The cost of a network at its native input size."""
    entry = REGISTRY.get(name)
    with shapes_only():
        model = entry.create(options=options)
    return measure(model, entry.input, name=name)


def conv(into: int, out: int, kernel: int) -> int:
    """Weights of a convolution, without biases."""
    return nn.Conv2d(into, out, kernel, bias=False, device="meta").weight.numel()


def module_weights(row: Row, into: int) -> int:
    """Weights of an Inception module, from the widths of its row in GoogLeNet's Table 1."""
    return (
        conv(into, row.one, 1)
        + (conv(into, row.reduce3, 1) + conv(row.reduce3, row.three, 3))
        + (conv(into, row.reduce5, 1) + conv(row.reduce5, row.five, 5))
        + conv(into, row.pooled, 1)
    )


def n(number: float) -> str:
    """A number with thousands separators."""
    return f"{number:,}"


def vgg() -> list[Erratum]:
    """The table of VGG-16 that courses show, and the configurations."""
    whole = size("vgg16")
    values = whole.totals.activation_bytes // 4
    dense = [row.weights for row in whole.layers if row.type == "linear"]
    ones = {name: _kernels(name, 1) for name in ("vgg16_c", "vgg16", "vgg19")}
    millions = [f"{size(name).totals.params / 1e6:.0f}" for name in ("vgg11", "vgg13", "vgg16_c", "vgg16", "vgg19")]
    return [
        Erratum("VGG-16, activations of one image, forward", "24 M, 96 MB", f"{n(values)}, {4 * values / 1e6:.0f} MB"),
        Erratum("VGG-16, weights", "138,344,128", n(whole.totals.weights)),
        Erratum("VGG-16, parameters", "138 M", n(whole.totals.params)),
        Erratum(
            "VGG-16, fully connected layers",
            "102,700,446 / 10,777,210 / 4,090,000",
            " / ".join(n(each) for each in dense),
        ),
        Erratum("VGG A, B, C, D, E, millions of parameters", "133 133 134 138 144", " ".join(millions)),
        Erratum(
            "1x1 convolutions in VGG-16 C, VGG-16, VGG-19",
            "VGG has 1x1 layers",
            "{vgg16_c}, {vgg16}, {vgg19}".format(**ones),
        ),
        Erratum(
            "VGG-16, channels of conv3, width of fc6",
            "258, 4098",
            f"{_output(whole, 'conv', 4)}, {_output(whole, 'linear', 0)}",
        ),
        Erratum("Receptive field of three 3x3 layers", "7 x 7", _field_of_three()),
        Erratum(
            "Three 3x3 layers against one 7x7, times C^2",
            "27 against 49",
            f"{3 * conv(1, 1, 3)} against {conv(1, 1, 7)}",
        ),
    ]


def alexnet() -> list[Erratum]:
    """Krizhevsky's network of 2012."""
    whole = size("alexnet_2012")
    layers = [row for row in whole.layers if row.type in ("conv", "linear")]
    first = layers[0]
    image = whole.input[1] * whole.input[2] * first.output[0]
    single = whole.totals.params + sum(
        layers[i].weights for i in (1, 3, 4)
    )  # grouped convolutions have half the weights
    return [
        Erratum("AlexNet, side after its first layer, of 224 px", "55", str(output_size(224, 11, stride=4))),
        Erratum("AlexNet, side after its first layer, of 227 px", "55", str(output_size(227, 11, stride=4))),
        Erratum("AlexNet, units up to its output", "500,000 or 650,000", n(whole.totals.units)),
        Erratum("AlexNet, parameters of its first layer", "35 K", n(first.params)),
        Erratum("AlexNet, parameters", "60 M", n(whole.totals.params)),
        Erratum("AlexNet in one tower, parameters", "62,378,344", n(single)),
        Erratum("AlexNet, units of its first layer by W H N", n(image), n(first.units)),
        Erratum(
            "AlexNet, feature maps after conv5 and its pooling",
            "13 x 13 twice",
            " then ".join(_maps(whole, "conv5", "stage3.pool")),
        ),
    ]


def googlenet() -> list[Erratum]:
    """GoogLeNet of the paper, and its Table 1."""
    paper, published = size("googlenet_paper"), size("googlenet")
    params = paper.totals.params
    ratio = {name: size(name).totals.params / params for name in ("alexnet_2012", "vgg16")}
    first = paper.layers[0]
    depthwise, pointwise = conv(1, 8 * 3, 7), conv(8 * 3, 64, 1)  # each colour into eight maps, then 1x1
    positions = first.output[1] * first.output[2]
    stages = [224] + [row.output[1] for row in paper.stages if row.name != "head"]
    errata = [
        Erratum("GoogLeNet, parameters", "5 M", n(params)),
        Erratum("GoogLeNet, weights", "6.8 M", n(paper.totals.weights)),
        Erratum("GoogLeNet as published with batch normalisation, parameters", "5 M", n(published.totals.params)),
        Erratum("AlexNet over GoogLeNet", "12 x, or 10 x", f"{ratio['alexnet_2012']:.1f} x"),
        Erratum("VGG-16 over GoogLeNet", "27 x", f"{ratio['vgg16']:.1f} x"),
        Erratum("GoogLeNet, sides of its feature maps", "each early step by 4", " ".join(map(str, stages))),
        Erratum("GoogLeNet, first layer, weights", "2.7 K", n(first.weights)),
        Erratum("GoogLeNet, first layer, multiply-adds", "34 M", f"{first.macs / 1e6:.1f} M"),
        Erratum("A separable first layer, weights", "2.7 K", n(depthwise + pointwise)),
        Erratum("A separable first layer, multiply-adds", "34 M", f"{(depthwise + pointwise) * positions / 1e6:.1f} M"),
    ]
    return errata + table_1()


def table_1() -> list[Erratum]:
    """Every row of modules in GoogLeNet's Table 1 against its own widths, in units of 1,024 weights."""
    printed = {"3a": 159, "3b": 380, "4a": 364, "4b": 437, "4c": 463, "4d": 580, "4e": 840, "5a": 1072, "5b": 1388}
    names, into, errata = iter(printed), 192, []
    for rows in TABLE_1:
        for row in rows:
            name = next(names)
            counted = module_weights(row, into) / 1024
            errata.append(Erratum(f"Table 1, {name}, weights", f"{printed[name]} K", f"{counted:g} K"))
            into = row.one + row.three + row.five + row.pooled
    return errata


def residual() -> list[Erratum]:
    """Residual networks."""
    v1 = {name: size(name, **({"unit.stride_place": "1x1"} if int(name[6:]) > 34 else {})) for name in _RESNETS}
    shortcuts = sum(row.weights for row in v1["resnet50"].layers if ".shortcut." in row.name)
    blocks = {name: _kernels(name, 3) for name in ("resnet34", "resnet50")}
    layers = {row.name: row for row in size("resnet18").layers if row.params}
    shown = [row.params for row in layers.values()]
    return [
        Erratum(
            "ResNet 18 to 152, multiply-adds in billions",
            "1.8 3.6 3.8 7.6 11.3",
            " ".join(f"{v.totals.macs / 1e9:.2f}" for v in v1.values()),
        ),
        Erratum("ResNet-50 as torchvision has it, billions", "3.8", f"{size('resnet50').totals.macs / 1e9:.2f}"),
        Erratum(
            "plain-20 and ResNet-20 for CIFAR, parameters",
            "fewer with shortcuts",
            f"{n(size('plain20_cifar').totals.params)} and {n(size('resnet20_cifar').totals.params)}",
        ),
        Erratum("ResNet-50, weights of its projections", "fewer with shortcuts", n(shortcuts)),
        Erratum(
            "3x3 convolutions in the 16 units of ResNet-34 and -50",
            "two each",
            f"{blocks['resnet34']} and {blocks['resnet50']}",
        ),
        Erratum(
            "ResNet-18, parameters of conv1, its norm, the next conv",
            "9,40 12 36,86",
            " ".join(n(shown[i]) for i in (0, 1, 2)),
        ),
    ]


def small() -> list[Erratum]:
    """Figures of single layers."""
    patch = torch.tensor([[[[200.0, 150, 150], [100, 50, 100], [25, 25, 10]]]])
    sobel = torch.tensor([[[[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]]])
    other = patch.clone()
    other[0, 0, 0, 2] = 100
    return [
        Erratum("Sobel's kernel on 200 150 100 / 100 50 100 / 25 25 10", "65", f"{forward(other, sobel).item():g}"),
        Erratum("Sobel's kernel on 200 150 150 / 100 50 100 / 25 25 10", "65", f"{forward(patch, sobel).item():g}"),
        Erratum("100 x 100 pixels to 1,000 units, parameters", "10,001,000", n(100 * 100 * 1000 + 1000)),
        Erratum("256 maps to 256 by 5x5, weights", "1,638,400", n(conv(256, 256, 5))),
        Erratum("256 maps to 64 by 1x1, to 256 by 5x5, weights", "425,984", n(conv(256, 64, 1) + conv(64, 256, 5))),
        Erratum("512 maps to 32 by 1x1, to 256 by 5x5, weights", "221,184", n(conv(512, 32, 1) + conv(32, 256, 5))),
        Erratum("64 px under 3x3, valid", "62", str(output_size(64, 3))),
        Erratum("EfficientNet, 1.2 x 1.1^2 x 1.15^2", "2", f"{1.2 * 1.1**2 * 1.15**2:.2f}"),
    ]


_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


def _kernels(name: str, side: int) -> int:
    """Number of square convolutions with this kernel size, without projections of shortcuts."""
    with shapes_only():
        model = REGISTRY.get(name).create()
    layers = [(path, layer) for path, layer in model.named_modules() if isinstance(layer, nn.Conv2d)]
    return sum(layer.kernel_size == (side, side) for path, layer in layers if ".shortcut." not in path)


def _output(whole: SizeRecord, kind: str, index: int) -> int:
    return [row for row in whole.layers if row.type == kind][index].output[0]


def _maps(whole: SizeRecord, *names: str) -> list[str]:
    rows = [row for name in names for row in whole.layers if row.name.endswith(name)]
    return [f"{row.output[1]} x {row.output[2]}" for row in rows]


def _field_of_three() -> str:
    side = Field.of_image(99, 99).h
    for _ in range(3):
        side = side.window(3, before=1, count=99)
    return f"{side.size} x {side.size}"


def errata() -> list[Erratum]:
    """All errata."""
    return [*vgg(), *alexnet(), *googlenet(), *residual(), *small()]


if __name__ == "__main__":
    for erratum in errata():
        print(f"{erratum.what:<62} {erratum.stated:<38} {erratum.counted}")
