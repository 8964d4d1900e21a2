"""Computes the figures of a course on convolutional networks; docs/course.md explains them."""

from __future__ import annotations

import torch
from torch import nn

import striate
from striate.core.shapes import output_size, same_padding
from striate.nn.reference import Window, forward, input_gradient, kernel_gradient
from striate.report.largest import largest
from striate.sizing.field import Field

patch = torch.tensor([[[[200.0, 150, 150], [100, 50, 100], [25, 25, 10]]]])
sobel = torch.tensor([[[[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]]])
print(forward(patch, sobel).item())  # 65.0
assert forward(patch, sobel).item() == 65

x = torch.randn(2, 4, 9, 9, dtype=torch.float64, requires_grad=True)
kernel = torch.randn(6, 2, 3, 3, dtype=torch.float64, requires_grad=True)
y = nn.functional.conv2d(x, kernel, stride=2, padding=1, groups=2)
upstream = torch.randn_like(y)  # the gradient of some loss with respect to y
y.backward(upstream)

window = Window(stride=(2, 2), before=(1, 1), after=(1, 1), groups=2)
torch.testing.assert_close(forward(x, kernel, window), y)
torch.testing.assert_close(kernel_gradient(x, upstream, kernel, window), kernel.grad)
torch.testing.assert_close(input_gradient(upstream, kernel, (9, 9), window), x.grad)

print(output_size(227, 11, stride=4))  # 55: AlexNet's first layer, 55 x 55 x 96 from 227 x 227 x 3
print(output_size(224, 11, stride=4, padding=2))  # 55 as well, in the network with one tower
print(same_padding(224, 3, stride=2))  # (0, 1): the odd zero is at the end
assert (output_size(227, 11, stride=4), output_size(224, 11, stride=4, padding=2)) == (55, 55)

linear = nn.Linear(100 * 100, 1000)
conv = nn.Conv2d(1, 1000, 11)
print(f"{sum(p.numel() for p in linear.parameters()):,}")  # 10,001,000
print(f"{sum(p.numel() for p in conv.parameters()):,}")  # 122,000 for 1,000 features, detected everywhere
assert sum(p.numel() for p in linear.parameters()) == 10_001_000

cost = striate.sizing.measure(striate.create_model("alexnet_2012"), (3, 227, 227))
first = cost.layers[0]
print(
    f"{first.units:,} units, {first.connections:,} connections, {first.weights:,} weights, {first.params:,} parameters"
)
for each in largest(cost):
    print(f"most {each.quantity} in {each.stage}: {each.stage_fraction:.0%} of {each.total:,}")
assert (first.units, first.connections, first.weights, first.params) == (290_400, 105_415_200, 34_848, 34_944)

direct = nn.Conv2d(256, 256, 5, bias=False)
reduced = nn.Sequential(nn.Conv2d(256, 64, 1, bias=False), nn.Conv2d(64, 256, 5, bias=False))
print(f"{sum(p.numel() for p in direct.parameters()):,}")  # 1,638,400
print(f"{sum(p.numel() for p in reduced.parameters()):,}")  # 425,984
assert [sum(p.numel() for p in m.parameters()) for m in (direct, reduced)] == [1_638_400, 425_984]

side = Field.of_image(224, 224).h
for _ in range(3):
    side = side.window(3, before=1, count=224)
print(side.size)  # 7: the receptive field of three 3x3 windows
c = 64
print(3 * 3**2 * c**2, 7**2 * c**2)  # 27 C^2 against 49 C^2 weights
assert (side.size, 3 * 3**2, 7**2) == (7, 27, 49)
