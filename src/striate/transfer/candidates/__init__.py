"""The ways to build the network: one module per strategy, listed from the simplest to the costliest.

A strategy gives its candidates as a sequence of steps, each costlier than the one before. A new strategy is a new
module with one subclass of `Candidate`, and one more entry here.
"""

from __future__ import annotations

from striate.transfer.candidates.base import Strategy
from striate.transfer.candidates.finetune import finetuning_steps
from striate.transfer.candidates.head import head_steps
from striate.transfer.candidates.scratch import scratch_steps

STRATEGIES: tuple[Strategy, ...] = (head_steps, finetuning_steps, scratch_steps)
