"""Linear probes: how good the frozen features of each layer are for the task.

The more the images resemble those of the pretraining, the deeper the best features are.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from striate.models.network import ImageModel
from striate.records.sizes import LayerRow
from striate.tasks.base import Probe
from striate.transfer.budget import Budget
from striate.transfer.context import TransferContext


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProbeResult:
    """The probes of all layers, and the linear head on the best one.

    Args:
        context: The data and the pretrained network.
        layer: The layer whose probe has the lowest loss.
        skeleton: The pretrained network up to `layer`, with a fresh linear head; it is not changed.
        probes: The probe of every feature layer that was probed.
        rows: What the record says about each probe, from the image upwards.
        left_out: Layers that the budget left no time to probe.
    """

    context: TransferContext
    layer: str
    skeleton: ImageModel
    probes: Mapping[str, Probe]
    rows: tuple[Any, ...]
    left_out: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[str, ...]:
        """The pretrained stages that are kept: those up to `layer`."""
        return self.skeleton.stages

    def layers_of(self, stages: Sequence[str]) -> list[LayerRow]:
        """What some of these stages, and the pretrained parts of the head before pooling, cost for one image."""
        return self.context.layers_of(self.skeleton, stages)

    def head_outputs(self, fit: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        """Fit the head on some images, and give its outputs for others, ``[n, outputs]``."""
        weight, bias = self._head(fit)
        return (self.context.features.at(self.layer, held_out) @ weight.t() + bias).numpy()

    def network(self, fit: np.ndarray) -> ImageModel:
        """A copy of the pretrained network up to `layer` with a linear head, fitted on the images `fit`."""
        model = copy.deepcopy(self.skeleton)
        weight, bias = self._head(fit)
        with torch.no_grad():
            model.head.logits_layer.weight.copy_(weight)
            model.head.logits_layer.bias.copy_(bias)
        return model.eval()

    def _head(self, fit: np.ndarray) -> tuple[Tensor, Tensor]:
        context = self.context
        features = context.features.at(self.layer, fit)
        return context.task.linear(features, context.targets[fit], self.probes[self.layer])


def probe_layers(context: TransferContext, budget: Budget) -> ProbeResult:
    """Probe the layers of `ImageModel.probe_layers` by cross-validation on the labelled images.

    The deepest layer comes first. A time limit may leave out the shallowest layers.
    """
    images, layers = context.sets.final, context.model.probe_layers
    context.progress.phase("fitting linear probes", len(layers), "layer")
    found: dict[str, Probe] = {}
    allowed, took, width = Budget.PROBES * budget.left, 0.0, 1
    for layer in reversed(layers):
        budget.warn(context.progress, budget.closing)
        expected = took / max(len(found), 1) * max(1.0, context.features.widths[layer] / width)
        if found and took + expected > allowed:
            break
        began = budget.clock()
        features = context.features.at(layer, images)
        found[layer] = context.task.probe(features, context.targets[images], seed=context.plan.seed)
        context.progress.step(len(found))
        took, width = took + budget.clock() - began, context.features.widths[layer]
    probes = {layer: found[layer] for layer in layers if layer in found}
    left_out = tuple(layer for layer in layers if layer not in found)
    if left_out:
        context.progress.note(f"the budget leaves no time to probe {', '.join(left_out)}", skipped_layers=left_out)
    best = min(probes, key=lambda layer: probes[layer].loss)
    skeleton = copy.deepcopy(context.model)
    context.task.fit_head(skeleton, best)
    return ProbeResult(
        context=context,
        layer=best,
        skeleton=skeleton,
        probes=probes,
        rows=tuple(probe.row(layer, context.features.widths[layer]) for layer, probe in probes.items()),
        left_out=left_out,
    )
