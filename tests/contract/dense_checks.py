"""What networks that answer for every position promise beside what all networks do."""

from __future__ import annotations

import checks
import pytest
import torch
from checks import answer, build, images, side_of
from torch import Tensor

from striate.core.errors import InputShapeError, PlanError, UnknownModelError
from striate.models import DenseModel, Entry


def settled(entry: Entry) -> DenseModel:
    model = checks.settled(entry)
    assert isinstance(model, DenseModel)
    return model


def check_dense_cut_and_rest_equal_the_whole(entry: Entry) -> None:
    model = settled(entry)
    x = images(model, 2)
    size = (x.shape[2], x.shape[3])
    for stage in model.stages:
        bottom, top = model.cut(stage)
        assert torch.equal(top(bottom(x), size), model(x))
        assert list(bottom(x))[-1] == stage
        assert set(bottom(x)) <= {stage, *model.reads}
    with pytest.raises(UnknownModelError, match="stages: stem"):
        model.cut("stage99")


def check_dense_kept_maps_are_not_written_over(entry: Entry) -> None:
    model = settled(entry)
    x = images(model, 2)
    before, together = x.clone(), model.forward_stages(x)
    whole = model.forward_head(together, (x.shape[2], x.shape[3]))
    assert torch.equal(whole, model(x))
    for stage in model.stages:
        assert torch.equal(together[stage], model.forward_stages(x, keep=[stage])[stage])
    assert torch.equal(x, before)


def check_the_decoder_names_what_it_reads(entry: Entry) -> None:
    model = settled(entry)
    x = images(model, 2)
    features = model.forward_features(x)
    assert tuple(features) == model.head.reads
    assert set(model.head.reads) <= set(model.stages)
    for name in model.head.reads:  # and reads what it names
        changed = {**features, name: features[name] + 1}
        assert not torch.equal(model.forward_head(changed, (x.shape[2], x.shape[3])), model(x))


def check_dense_head_swap(entry: Entry) -> None:
    model = settled(entry).double()
    x = images(model, 2).double()
    kept = {name: value.clone() for name, value in model.state_dict().items() if not name.startswith("head.")}
    model.replace_head(7)
    assert model(x).shape == answer(model, x)
    assert model(x).dtype == torch.float64
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    for name, value in kept.items():
        assert torch.equal(model.state_dict()[name], value)
    with pytest.raises(PlanError, match="at least 1 class"):
        model.replace_head(0)


def check_the_output_moves_with_the_image(entry: Entry) -> None:
    """So many pixels on, the same answer: nothing is off by one between the image and the output."""
    model = settled(entry).double()
    reduction, margin, side = model.stage_table[-1].reduction, model.margin, side_of(model)
    step = max(reduction, model.side_step)
    wide = torch.zeros(1, model.in_channels, side, side + 8 * step, dtype=torch.float64)
    spot = torch.rand(model.in_channels, 8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    middle = side + 4 * step

    def shown_at(left: int) -> Tensor:
        x = wide.clone()
        x[0, :, side // 2 - 4 : side // 2 + 4, left : left + 8] = spot
        return model(x)[0]

    here, there = shown_at(middle // 2), shown_at(middle // 2 + step)
    centre = middle // 2 - margin
    near = slice(centre - 2, centre + 10)
    torch.testing.assert_close(
        here[:, :, near], there[:, :, near.start + step : near.stop + step], rtol=1e-6, atol=1e-9
    )
    assert not torch.equal(here, there)


def check_sides_that_are_not_accepted_are_named(entry: Entry) -> None:
    model = build(entry).eval()
    if model.side_step == 1:
        return
    side = model.min_side + model.side_step
    for wrong in range(side + 1, side + model.side_step):
        with pytest.raises(InputShapeError, match=f"nearest that it accepts are {side} and {side + model.side_step}"):
            model(torch.zeros(1, 3, side, wrong))
