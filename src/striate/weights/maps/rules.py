"""What a name map is made of: rows of pattern, replacement and tensor move, the first that fits counts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from torch import Tensor

Move = Callable[[Tensor], Tensor]

_compiled = cache(re.compile)  # re's own cache is smaller than some maps, and then each row is compiled for each name
_SLOT = re.compile(r"\{(\d+)(?:([+-]\d+))?\}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of a name map.

    Args:
        pattern: A regular expression over the file's whole name of a tensor.
        target: Our name; ``{1}`` stands for the pattern's first group, ``{1+1}`` for that number plus one.
        move: What is done to the tensor; None leaves it.
        subtract: Whether the tensor is taken off the target instead of becoming it: a convolution's bias off the
            running mean of the normalisation that follows, which is the same function.
        back: What undoes `move`, where our tensors are written under the file's names (`inverse`); None where nobody
            writes them.
    """

    pattern: str
    target: str
    move: Move | None = None
    subtract: bool = False
    back: Move | None = None

    def rename(self, name: str) -> str | None:
        """Our name for the file's `name`; None where the pattern does not fit."""
        match = _compiled(self.pattern).fullmatch(name)
        if match is None:
            return None

        def fill(slot: re.Match[str]) -> str:
            text = match[int(slot[1])]
            return str(int(text) + int(slot[2])) if slot[2] else text

        return _SLOT.sub(fill, self.target)


@dataclass(frozen=True, slots=True)
class Skip:
    """Tensors of the file that ours has no use for.

    Args:
        pattern: A regular expression over the file's whole name of a tensor.
        reason: Why, for the record.
    """

    pattern: str
    reason: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor of ours that the file leaves out because it never varies there.

    Args:
        target: A regular expression over our whole name.
        value: What fills it.
        reason: Why, for the record.
    """

    target: str
    value: float
    reason: str


Row = Rule | Skip | Constant


def conv_norm(theirs: str, ours: str) -> list[Row]:
    """A convolution and its normalisation, which the file keeps side by side as ``conv`` and ``bn``.

    Args:
        theirs: A regular expression over the name of the two.
        ours: Our name of the two, slots and all.
    """
    last = re.compile(theirs).groups + 1
    return [
        Rule(rf"{theirs}\.conv\.weight", f"{ours}.conv.weight"),
        Rule(rf"{theirs}\.bn\.(\w+)", f"{ours}.norm.{{{last}}}"),
    ]
