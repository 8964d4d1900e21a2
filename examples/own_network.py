"""Trains a network of your own in 20 lines, on data that needs no download."""

from torch import nn

import striate


def small_cnn(classes: int, in_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(256, classes),
    )


striate.register_model("small_cnn", small_cnn, input=(1, 16, 16))
run = striate.train("small_cnn", "digits", recipe="lenet_short", epochs=8, out="runs/small-cnn")
print(f"test accuracy {run.record.test.top1:.1%}; report: {run.report}")
