"""Output sizes and padding of sliding windows."""

from __future__ import annotations

import pytest

from striate.core import shapes
from striate.core.errors import InputShapeError


def test_output_size() -> None:
    assert shapes.output_size(227, 11, stride=4) == 55
    with pytest.raises(InputShapeError, match="does not fit"):
        shapes.output_size(2, 3)


def test_same_padding() -> None:
    assert shapes.same_padding(224, 3, 2) == (0, 1)
    assert shapes.same_padding(225, 3, 2) == (1, 1)
