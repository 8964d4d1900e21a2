"""The state that a training needs to resume to the same weights, and its file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn

from striate.core.errors import NonFiniteLossError, StorageError
from striate.records.recipes import Recipe
from striate.training import checkpoint, optim
from striate.training.ema import Average


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a training is: what its file keeps beside tensors.

    Args:
        step: Steps taken.
        loss: Sum of the losses of this epoch's steps.
        curve: A row for each epoch that is over.
        seconds: Time so far, that of earlier processes included.
        resumes: The steps at which the run resumed.
        halved_at: The step from which the learning rate is halved; None if never.
        precision: Of the arithmetic.
        micro_batches: Fields of a `MicroBatch` for each size of the groups so far.
    """

    step: int = 0
    loss: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    resumes: list[int] = field(default_factory=list)
    halved_at: int | None = None
    precision: str = ""
    micro_batches: list[dict[str, int]] = field(default_factory=list)


@final
class State:
    """The tensors that training changes, and its progress.

    Args:
        module: What is trained.
        optimizer: What trains it.
        recipe: How.
        steps: In all.
        file: Where the state is kept; None keeps none.
        signature: Names everything that training depends on.
        writes: Whether this process is the one that writes.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        recipe: Recipe,
        *,
        steps: int,
        file: Path | None,
        signature: str,
        writes: bool,
    ) -> None:
        self.module, self.optimizer, self.recipe, self.steps = module, optimizer, recipe, steps
        self.ema = None if recipe.ema_decay is None else Average(module, recipe.ema_decay)
        self.file, self._signature, self._writes = file, signature, writes
        self.progress = Progress()

    @property
    def kept(self) -> bool:
        """Whether there is a file to go back to."""
        return self.file is not None and self.file.exists()

    def require_finite(self) -> None:
        """Raise NonFiniteLossError if a weight, statistic or momentum is NaN or infinite."""
        for name, tensor in self._tensors().items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise NonFiniteLossError(
                    f"{name.partition(':')[2]} is NaN or infinite after step {self.progress.step} of {self.steps}",
                    hint=f"lower the learning rate (now {self.recipe.lr:g}), or look for broken images",
                )

    def save(self) -> None:
        """Write the file, whole or not at all.

        Raises:
            NonFiniteLossError: The state has NaN or infinite values; the last checkpoint stays.
            StorageError: The disk is full; what was saved before stays.
        """
        self.require_finite()
        if self.file is None or not self._writes:
            return
        try:
            checkpoint.write(self.file, self._tensors(), {"signature": self._signature, **asdict(self.progress)})
        except StorageError as error:
            hint = "free some disk space; the run then resumes from its last checkpoint"
            raise StorageError(error.message, hint=hint) from error

    def restore(self) -> None:
        """Load the file's state if it has the signature; delete the file of another run."""
        if self.file is None or not self.file.exists():
            return
        if checkpoint.facts(self.file).get("signature") != self._signature:
            self.file.unlink(missing_ok=True)  # another process may have been quicker
            return
        self.go_back()
        if self.progress.step:
            self.progress.resumes.append(self.progress.step)
            self.save()  # so that it is known even if the next kill comes before the next saving

    def go_back(self) -> None:
        """Load the last saved state."""
        assert self.file is not None
        self.optimizer.zero_grad(set_to_none=True)
        self.optimizer.state.clear()
        tensors, facts = checkpoint.read(self.file)
        parts: dict[str, dict[str, Tensor]] = {"module": {}, "optimizer": {}, "average": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(":")
            parts[part][rest] = tensor
        self.module.load_state_dict(parts["module"])
        optim.restore(self.optimizer, self.module, parts["optimizer"])
        if self.ema is not None:
            self.ema.restore(parts["average"])
        facts.pop("signature")
        self.progress = Progress(**facts)

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"module:{name}": tensor for name, tensor in self.module.state_dict().items()}
        tensors |= {f"optimizer:{name}": t for name, t in optim.state_tensors(self.optimizer, self.module).items()}
        if self.ema is not None:
            tensors |= {f"average:{name}": tensor for name, tensor in self.ema.state().items()}
        return tensors
