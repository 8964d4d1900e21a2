"""A network is a row of named stages and a head: run it, look inside, cut it, freeze it, count what it costs."""

from __future__ import annotations

import torch

import striate

model = striate.create_model("resnet18", classes=10)  # random weights; weights="default" takes the best published ones
images = torch.randn(2, 3, 64, 64)

print(model.stages)  # ("stem", "stage1", "stage2", "stage3", "stage4")
for name, maps in model.forward_stages(images).items():
    print(name, tuple(maps.shape))
pooled = model.forward_head(model.forward_features(images), upto="pool")

bottom, top = model.cut("stage2")  # two halves that share the network's parameters
assert torch.equal(model.eval()(images), top(bottom(images)))

model.freeze("stage3")  # no weight and no batch statistic up to stage3 moves from here on
trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]

cost = striate.sizing.measure(model, (3, 224, 224))
print(f"{cost.totals.params:,} parameters, {cost.totals.macs:,} multiply-adds, sees {cost.totals.receptive_field} px")
