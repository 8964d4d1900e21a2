"""Lets torchvision's wheel (built for CUDA) import beside a torch without it. Import this before any peer.

The wheel registers kernels for two operators that its missing extension would have declared; declaring them first is
all it takes. Nothing that calls them may run: networks never do.
"""

from __future__ import annotations

import torch

OPERATORS = torch.library.Library("torchvision", "DEF")
OPERATORS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
OPERATORS.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
