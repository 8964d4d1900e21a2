from __future__ import annotations

import pytest
import torch
from torch import nn

from striate.models.nasnet import NORMAL, REDUCTION, Cell, CellUnit, Halve, NASNetSpec

SPEC = NASNetSpec(repeats=1, penultimate=96, stem_width=8)


@pytest.mark.parametrize(("height", "width"), [(4, 4), (5, 5), (4, 5), (1, 2)])
def test_the_second_grid_lies_one_position_down_and_right(height: int, width: int) -> None:
    halve = Halve(1, 2, SPEC.eps).eval()
    nn.init.ones_(halve.conv1.weight)
    nn.init.ones_(halve.conv2.weight)
    halve.norm = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    x = 1 + torch.arange(float(height * width)).reshape(1, 1, height, width)
    first, second = halve(x)[0]
    padded = torch.zeros(height + 1, width + 1)
    padded[:height, :width] = x[0, 0]
    assert torch.equal(first, x[0, 0, ::2, ::2])
    assert torch.equal(second, padded[1:, 1:][::2, ::2])


@pytest.mark.parametrize("cell", [NORMAL, REDUCTION])
def test_what_nothing_in_a_cell_reads_is_joined(cell: Cell) -> None:
    read = {name for pair in cell.pairs for _, name in pair}
    sums = [str(number) for number in range(1, len(cell.pairs) + 1)]
    assert {name for name in sums if name not in read} < set(cell.joined)
    assert set(cell.joined) <= {"h", "p", *sums}


def test_cells_leave_their_inputs_as_they_were() -> None:
    cell = CellUnit(NORMAL, 3, 4, nn.Identity(), 4, SPEC).eval()
    newer, older = torch.randn(1, 3, 8, 8), torch.randn(1, 4, 8, 8)
    before = newer.clone(), older.clone()
    assert cell(newer, older).shape == (1, 24, 8, 8)
    assert torch.equal(newer, before[0])
    assert torch.equal(older, before[1])


@pytest.mark.parametrize("wrong", [{"penultimate": 100}, {"repeats": 0}, {"lookback": 3}, {"avg_padding": "none"}])
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="is"):
        NASNetSpec(**({"repeats": 1, "penultimate": 96, "stem_width": 8} | wrong))  # pyright: ignore[reportArgumentType]
