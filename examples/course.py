"""The figures of a course on convolutional networks, computed: docs/course.md tells the story."""

from __future__ import annotations

import torch
from torch import nn

import striate
from striate.core.shapes import output_size, same_padding
from striate.nn.reference import Window, forward, input_gradient, kernel_gradient
from striate.report.shares import whereabouts
from striate.sizing.field import Field

patch = torch.tensor([[[[200.0, 150, 150], [100, 50, 100], [25, 25, 10]]]])
sobel = torch.tensor([[[[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]]])
print(forward(patch, sobel).item())  # 65.0
assert forward(patch, sobel).item() == 65

x = torch.randn(2, 4, 9, 9, dtype=torch.float64, requires_grad=True)
kernel = torch.randn(6, 2, 3, 3, dtype=torch.float64, requires_grad=True)
y = nn.functional.conv2d(x, kernel, stride=2, padding=1, groups=2)
above = torch.randn_like(y)  # the gradient of some loss for y
y.backward(above)

window = Window(stride=(2, 2), before=(1, 1), after=(1, 1), groups=2)
torch.testing.assert_close(forward(x, kernel, window), y)
torch.testing.assert_close(kernel_gradient(x, above, kernel, window), kernel.grad)
torch.testing.assert_close(input_gradient(above, kernel, (9, 9), window), x.grad)

print(output_size(227, 11, stride=4))  # 55: AlexNet's first layer, 55 x 55 x 96 from 227 x 227 x 3
print(output_size(224, 11, stride=4, padding=2))  # 55 too, as the one-tower network has it
print(same_padding(224, 3, stride=2))  # (0, 1): the odd zero comes after
assert (output_size(227, 11, stride=4), output_size(224, 11, stride=4, padding=2)) == (55, 55)

dense = nn.Linear(100 * 100, 1000)
conv = nn.Conv2d(1, 1000, 11)
print(f"{sum(p.numel() for p in dense.parameters()):,}")  # 10,001,000
print(f"{sum(p.numel() for p in conv.parameters()):,}")  # 122,000 for as many features, looked for everywhere
assert sum(p.numel() for p in dense.parameters()) == 10_001_000

cost = striate.sizing.measure(striate.create_model("alexnet_2012"), (3, 227, 227))
first = cost.layers[0]
print(
    f"{first.units:,} units, {first.connections:,} connections, {first.weights:,} weights, {first.params:,} parameters"
)
for each in whereabouts(cost):
    print(f"most {each.quantity} in {each.stage}: {each.stage_share:.0%} of {each.total:,}")
assert (first.units, first.connections, first.weights, first.params) == (290_400, 105_415_200, 34_848, 34_944)

straight = nn.Conv2d(256, 256, 5, bias=False)
narrow = nn.Sequential(nn.Conv2d(256, 64, 1, bias=False), nn.Conv2d(64, 256, 5, bias=False))
print(f"{sum(p.numel() for p in straight.parameters()):,}")  # 1,638,400
print(f"{sum(p.numel() for p in narrow.parameters()):,}")  # 425,984
assert [sum(p.numel() for p in m.parameters()) for m in (straight, narrow)] == [1_638_400, 425_984]

side = Field.of_image(224, 224).h
for _ in range(3):
    side = side.window(3, before=1, count=224)
print(side.size)  # 7: three windows of 3 see as far as one of 7
c = 64
print(3 * 3**2 * c**2, 7**2 * c**2)  # 27 C^2 against 49 C^2 weights
assert (side.size, 3 * 3**2, 7**2) == (7, 27, 49)
