"""One of several processes that train a network together; test_ranks.py starts them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from striate.models import REGISTRY
from striate.records.recipes import Recipe, Schedule
from striate.training.loop import train
from striate.training.options import TrainingOptions
from striate.training.ranks import Ranks


class Drawings:
    """Images of noise around a pattern a class."""

    def __init__(self, shape: tuple[int, int, int], dtype: torch.dtype) -> None:
        generator = torch.Generator().manual_seed(0)
        self.y = torch.randint(0, 10, (512,), generator=generator)
        patterns = torch.randn(10, *shape, generator=generator, dtype=dtype)
        self.x = patterns[self.y] + torch.randn(512, *shape, generator=generator, dtype=dtype)

    def __len__(self) -> int:
        return 512

    def batch(self, samples: np.ndarray, epoch: int) -> tuple[Tensor, Tensor]:
        return self.x[samples], self.y[samples]


def main(network: str, micro_batch: int, steps: int, out: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    entry = REGISTRY.get(network)
    tiny = network != "lenet5"
    model = entry.build(entry.tiny, classes=10, in_channels=3) if tiny else entry.create()
    model = model.double()
    plan = Recipe(lr=0.02, batch=64, micro_batch=micro_batch, steps=steps, schedule=Schedule(kind="constant"))
    ranks = Ranks(torch.device("cpu"))
    shape = (model.in_channels, 32, 32)
    loss, data = nn.CrossEntropyLoss(), Drawings(shape, torch.float64)
    result = train(model, data, plan, TrainingOptions(seed=1), loss=loss, ranks=ranks)
    counted = ranks.gather(list(ranks.share(range(101))))
    if ranks.first:
        torch.save({"state": model.state_dict(), "losses": [r["loss"] for r in result.curve], "counted": counted}, out)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
