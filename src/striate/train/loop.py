"""The one training loop.

Order, augmentation and dropout are keyed by seed, epoch and sample, so that a run that was killed and goes on from its
last checkpoint ends with the weights of the run that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.core.errors import NonFiniteLossError
from striate.core.events import Listener
from striate.core.seed import derive, generator
from striate.records.recipes import Recipe
from striate.train import checkpoint, optim
from striate.train.schedule import rise_and_fall


class Feed(Protocol):
    """The training pictures, numbered from 0."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def batch(self, samples: np.ndarray, epoch: int) -> tuple[Tensor, Tensor]:
        """Inputs and labels of some samples, as they look in this epoch; the same call gives the same answer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What training did.

    Args:
        steps: Optimiser steps in all.
        resumed_at: The step this process began with; 0 for a fresh run.
        curve: A row an epoch: ``epoch, loss`` and what `evaluate` gave.
        seconds: Time of the whole training, earlier processes included.
    """

    steps: int
    resumed_at: int
    curve: tuple[dict[str, float], ...]
    seconds: float


def steps_an_epoch(samples: int, batch: int) -> int:
    """Full batches in one pass; one of all samples where they do not fill one."""
    return max(1, samples // batch)


def train(
    module: nn.Module,
    feed: Feed,
    recipe: Recipe,
    *,
    seed: int,
    listener: Listener,
    scales: Mapping[str, float] | None = None,
    save_to: Path | None = None,
    signature: str = "",
    save_every_s: float = 15.0,
    evaluate: Callable[[], dict[str, float]] | None = None,
) -> Trained:
    """Train `module` in place.

    Every epoch draws a fresh order and drops the samples that do not fill a batch, so that no batch is small.

    Args:
        module: Inputs to logits, ``[n, classes]``. Parameters without ``requires_grad`` stay as they are.
        feed: The training pictures.
        recipe: How.
        seed: Of order and dropout.
        listener: Hears of steps and epochs.
        scales: Share of the rate for parameters whose name begins with a key.
        save_to: Where training's state is kept; it goes on from there when the file exists and bears `signature`.
        signature: Names everything that training depends on. A file with another one is not used.
        save_every_s: Seconds between two savings.
        evaluate: Called in evaluation mode after every epoch; its figures join the curve.

    Raises:
        NonFiniteLossError: The loss is no longer a number.
    """
    per_epoch = steps_an_epoch(len(feed), recipe.batch)
    steps = per_epoch * recipe.epochs
    optimizer = optim.make(module, recipe, scales)
    trainable = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[str, Any] = {"step": 0, "loss": 0.0, "curve": [], "seconds": 0.0}
    if save_to is not None and save_to.exists():
        state = _restore(save_to, signature, module, optimizer) or state
    first = int(state["step"])
    began, saved = time.monotonic() - float(state["seconds"]), time.monotonic()

    order, epoch_of_order = np.empty(0, dtype=np.int64), -1
    module.train()
    listener.phase("training", steps, "step")
    for step in range(first, steps):
        epoch, index = divmod(step, per_epoch)
        if epoch != epoch_of_order:
            order, epoch_of_order = generator(seed, "order", epoch).permutation(len(feed)), epoch
        inputs, labels = feed.batch(order[index * recipe.batch : (index + 1) * recipe.batch], epoch)
        torch.manual_seed(derive(seed, "step", step))
        optim.set_rate(optimizer, recipe.rate * rise_and_fall(step, steps, recipe.warmup))
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(module(inputs), labels, label_smoothing=recipe.smoothing)
        loss.backward()
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(trainable, recipe.clip)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise NonFiniteLossError(
                f"the loss became {value} at step {step} of {steps} (epoch {epoch + 1})",
                hint=f"lower the learning rate (now {recipe.rate:g}), or look for broken pictures",
            )
        optimizer.step()
        state["loss"] += value
        state["step"] = step + 1
        listener.step(step + 1)
        if index == per_epoch - 1:
            row = {"epoch": float(epoch + 1), "loss": state["loss"] / per_epoch}
            if evaluate is not None:
                module.eval()
                row |= evaluate()
                module.train()
            state["curve"].append(row)
            state["loss"] = 0.0
            listener.record("epoch", row)
        if save_to is not None and (time.monotonic() - saved > save_every_s or step == steps - 1):
            _save(save_to, signature, module, optimizer, state | {"seconds": time.monotonic() - began})
            saved = time.monotonic()
    module.eval()
    return Trained(steps=steps, resumed_at=first, curve=tuple(state["curve"]), seconds=time.monotonic() - began)


def _save(
    path: Path, signature: str, module: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
) -> None:
    tensors = {f"module:{name}": tensor for name, tensor in module.state_dict().items()}
    tensors |= {f"optimizer:{name}": t for name, t in optim.state_tensors(optimizer, module).items()}
    checkpoint.write(path, tensors, {"signature": signature, **state})


def _restore(path: Path, signature: str, module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    tensors, facts = checkpoint.read(path)
    if facts.get("signature") != signature:
        return None
    parts: dict[str, dict[str, Tensor]] = {"module": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(":")
        parts[part][rest] = tensor
    module.load_state_dict(parts["module"])
    optim.restore(optimizer, module, parts["optimizer"])
    return {key: facts[key] for key in ("step", "loss", "curve", "seconds")}
