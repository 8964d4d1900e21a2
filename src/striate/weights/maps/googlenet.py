"""GoogLeNet."""

from __future__ import annotations

from striate.models.network import ImageModel
from striate.weights.maps.places import units
from striate.weights.maps.rules import Row, Rule, Skip, conv_norm


def torchvision(model: ImageModel) -> list[Row]:
    """GoogLeNet; modules are called as in the paper, 3a to 5b, and auxiliary classifiers are counted."""
    rules: list[Row] = [*conv_norm("conv1", "stem"), *conv_norm("conv([23])", "stage1.conv{1}")]
    for path, _ in units(model):
        stage, unit = path.removeprefix("stage").split(".unit")
        theirs = f"inception{int(stage) + 1}{'abcde'[int(unit) - 1]}"
        rules += [
            *conv_norm(rf"{theirs}\.branch1", f"{path}.branch1"),
            *conv_norm(rf"{theirs}\.branch([23])\.([01])", f"{path}.branch{{1}}.conv{{2+1}}"),
            *conv_norm(rf"{theirs}\.branch4\.1", f"{path}.branch4.conv1"),
        ]
    for number, tap in enumerate(model.aux, start=1):
        rules += [
            *conv_norm(rf"aux{number}\.conv", f"aux.{tap}.conv"),
            Rule(rf"aux{number}\.fc1\.(\w+)", f"aux.{tap}.fc.0.{{1}}"),
            Rule(rf"aux{number}\.fc2\.(\w+)", f"aux.{tap}.logits.{{1}}"),
        ]
    if not model.aux:
        rules.append(Skip(r"aux[12]\..+", "the network has no auxiliary heads"))
    return [*rules, Rule(r"fc\.(\w+)", "head.logits.{1}")]


SOURCES = {"torchvision": torchvision}
