"""A linear head on frozen features of the best layer."""

from __future__ import annotations

import dataclasses
import time
from typing import final

import numpy as np

from striate.core.preprocess import Preprocess
from striate.models.network import ImageModel
from striate.records import results
from striate.transfer.budget import Estimate
from striate.transfer.candidates.base import Candidate, Result, judged
from striate.transfer.context import TransferContext
from striate.transfer.probe import ProbeResult
from striate.transfer.watch import CandidateWatch


@final
class LinearHead(Candidate):
    """A linear head on frozen features.

    Args:
        context: The data and the pretrained network.
        probe: The probes, which give the layer and fit the head.
    """

    def __init__(self, context: TransferContext, probe: ProbeResult) -> None:
        record = results.Candidate(
            strategy="head",
            reused_stages=probe.stages,
            reason=f"a linear head on the pooled features of {probe.layer}",
            input_px=context.preprocess.size,
        )
        super().__init__(context, record, title="a linear head on frozen features", layer=probe.layer)
        self._probe = probe

    def estimate(self) -> Estimate:
        """One forward pass through the frozen stages, which has been done already."""
        context = self.context
        per_image = sum(row.macs for row in self._probe.layers_of(self._probe.stages))
        return Estimate(epochs=1, macs=float(len(context.train) + len(context.validation)) * per_image)

    def evaluate(self, watch: CandidateWatch) -> Result:
        """Fit the head on every fold."""
        began, estimate = time.monotonic(), self.estimate()
        pairs = self.context.sets.pairs
        watch.phase("fitting", len(pairs), "fold")
        outputs: list[np.ndarray] = []
        for fit, held_out in pairs:
            outputs.append(self._probe.head_outputs(fit, held_out))
            watch.step(len(outputs))
        seconds = time.monotonic() - began
        record = dataclasses.replace(self.record, epochs=estimate.epochs, macs=estimate.macs, seconds=seconds)
        return judged(self, record, np.concatenate(outputs))

    def build(self, watch: CandidateWatch) -> tuple[ImageModel, Preprocess]:
        """Fit the head on all labelled images."""
        watch.phase("fitting on all images")
        labelled = np.sort(np.concatenate([self.context.train, self.context.validation]))
        return self._probe.network(labelled), self.context.preprocess


def head_steps(context: TransferContext, probe: ProbeResult) -> list[LinearHead]:
    """The one step of this strategy."""
    return [LinearHead(context, probe)]
