"""Times networks on this machine: an inference step and a training step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from striate.core.cancel import CancelPoints, CancelToken
from striate.core.device import cpu_threads, pick
from striate.core.errors import PlanError
from striate.core.events import NoProgress, ProgressCallback
from striate.jobs.models import published
from striate.models import REGISTRY
from striate.records import zoo
from striate.records.bench import BenchRow
from striate.records.plans import BenchPlan
from striate.sizing.clock import Timing, timed


def run(
    plan: BenchPlan, *, progress: ProgressCallback | None = None, cancel: CancelToken | None = None
) -> tuple[BenchRow, ...]:
    """Time networks with random weights, each at the input it was made for.

    Args:
        plan: The networks, the device and the batch.
        progress: Receives progress; None reports none.
        cancel: Asks the job to stop before the next network; None never asks.

    Raises:
        JobCancelled: `cancel` asked to stop.
        UnknownModelError: No network has that name.
        PlanError: The device is not here, or its memory does not hold the batch.
    """
    progress = CancelPoints(progress or NoProgress(), cancel or CancelToken())
    device = pick(plan.device)
    rows = [zoo.find(name) for name in plan.names] or lightest()
    progress.phase("timing", len(rows), "network")
    timings = []
    for done, row in enumerate(rows, start=1):
        timings.append(_bench(row, device, plan.batch, plan.seconds))
        progress.step(done)
    return tuple(timings)


def lightest() -> list[zoo.ZooRow]:
    """The classifier of every family that needs the fewest multiply-adds, oldest paper first."""
    best: dict[str, zoo.ZooRow] = {}
    for row in zoo.rows():
        if row.task == "classify" and (row.family not in best or row.macs < best[row.family].macs):
            best[row.family] = row
    return list(best.values())


def _bench(row: zoo.ZooRow, device: torch.device, batch: int, seconds: float) -> BenchRow:
    model = REGISTRY.get(row.name).create().to(device)
    images = torch.rand(batch, *row.input, device=device)
    try:
        forward = _inference(model, images, seconds)
        step = _training(model, images, seconds)
    except torch.OutOfMemoryError as error:
        raise PlanError(
            f"{row.name} with {batch} images at a time does not fit into the memory of {device}",
            hint="give a smaller --batch",
        ) from error
    accuracy = published(row.name)
    if accuracy is not None and not accuracy.dataset.startswith("imagenet"):
        accuracy = None
    return BenchRow(
        name=row.name,
        device=str(device),
        threads=cpu_threads() if device.type == "cpu" else 0,
        batch=batch,
        input=row.input,
        forward_ms=1e3 * forward.median_s,
        forward_interval_ms=(1e3 * forward.low_s, 1e3 * forward.high_s),
        step_ms=1e3 * step.median_s,
        step_interval_ms=(1e3 * step.low_s, 1e3 * step.high_s),
        images_per_s=batch / forward.median_s,
        params=row.params,
        macs=row.macs,
        top1=accuracy.top1 if accuracy else None,
        weights=f"{accuracy.source} {accuracy.weights}" if accuracy else "",
    )


def _inference(model: nn.Module, images: torch.Tensor, seconds: float) -> Timing:
    model.eval()
    with torch.inference_mode():
        return timed(lambda: model(images), images.device, seconds=seconds)


def _training(model: nn.Module, images: torch.Tensor, seconds: float) -> Timing:
    model.train()
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)  # a small rate: values must stay ordinary

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        logits = model(images)
        answers = logits.new_zeros(
            (logits.shape[0], *logits.shape[2:]), dtype=torch.long
        )  # a class each, or each pixel
        F.cross_entropy(logits, answers).backward()
        optimiser.step()

    return timed(step, images.device, seconds=seconds)
