"""A network is a backbone of named stages and a head: run it, read features, cut it, freeze it, measure its cost."""

from __future__ import annotations

import torch

import striate

model = striate.create_model("resnet18", classes=10)  # random weights; weights="default" loads the best published ones
images = torch.randn(2, 3, 64, 64)

print(model.stages)  # ("stem", "stage1", "stage2", "stage3", "stage4")
for name, features in model.forward_stages(images).items():
    print(name, tuple(features.shape))
pooled = model.forward_head(model.forward_features(images), upto="pool")

bottom, top = model.cut("stage2")  # two halves that share the network's parameters
assert torch.equal(model.eval()(images), top(bottom(images)))

model.freeze("stage3")  # weights and batch-norm statistics up to stage3 do not change from here on
trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]

cost = striate.sizing.measure(model, (3, 224, 224)).totals
print(f"{cost.params:,} parameters, {cost.macs:,} multiply-adds, receptive field {cost.receptive_field} px")
