"""How this process was started: alone, or by a launcher together with others."""

from __future__ import annotations

import os


def launched() -> int:
    """How many processes ``torchrun`` or ``accelerate launch`` started; 1 without them."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the process, of those launched together, that prints what the run found."""
    return os.environ.get("RANK", "0") == "0"
