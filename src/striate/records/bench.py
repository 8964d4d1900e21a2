"""What networks take on this machine: what ``striate bench`` presents."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRow:
    """One network's times. Medians, with 95 % intervals of the median.

    Args:
        name: Of the network.
        device: What it ran on.
        threads: Processors used on a CPU.
        batch: Images at a time.
        input: Channels, height and width of an image.
        forward_ms: An inference step: the batch through the network in evaluation mode, without gradients.
        forward_interval_ms: Of the median.
        step_ms: A training step: forward, cross-entropy, backward, SGD with momentum.
        step_interval_ms: Of the median.
        images_per_s: In inference.
        params: Everything that training can change.
        macs: Multiply-adds for one image.
        top1: Published accuracy on ImageNet in percent; None where nothing is published.
        weights: The weights that have it, ``SOURCE TAG``; empty where nothing is published.
    """

    name: str
    device: str
    threads: int
    batch: int
    input: tuple[int, int, int]
    forward_ms: float
    forward_interval_ms: tuple[float, float]
    step_ms: float
    step_interval_ms: tuple[float, float]
    images_per_s: float
    params: int
    macs: int
    top1: float | None
    weights: str
