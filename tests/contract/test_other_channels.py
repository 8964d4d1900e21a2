"""Grey images through a folded colour network, and colour through a grey one, in every family."""

from __future__ import annotations

import copy
from dataclasses import replace

import checks
import pytest
import torch
from torch import Tensor, nn

from striate.core.errors import PlanError
from striate.core.meta import shapes_only
from striate.core.preprocess import Preprocess
from striate.models import REGISTRY, StagedModel, entries
from striate.weights import catalogue
from striate.weights.adapt import LUMA, to_bands, to_colour, to_grey

# by the first network of each family: a later one may put its first maps elsewhere than into a normalisation
FAMILIES = {entry.family: entry for entry in reversed(list(entries())) if entry.family != "mlp"}
CAFFE = Preprocess(
    size=(32, 32), mean=(103.939, 116.779, 123.68), std=(57.0, 58.0, 59.0), channels="bgr", value_range=(0.0, 255.0)
)


def normalised(values: Tensor, preprocess: Preprocess) -> Tensor:
    """Values from 0 to 255, one row a channel, as the network takes them."""
    scale, offset = (torch.tensor(each, dtype=torch.float64).view(1, -1, 1, 1) for each in preprocess.affine())
    return values * scale + offset


def greys(model: StagedModel) -> Tensor:
    side = checks.side_of(model)
    return 255 * torch.rand(2, 1, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def first_maps(model: StagedModel, x: Tensor) -> Tensor:
    """The maps of the first convolution, normalised where that comes next: only windows inside the image."""
    layers = [layer for layer in model.get_submodule("stem").modules() if not list(layer.children())]
    place, conv = next((place, layer) for place, layer in enumerate(layers) if isinstance(layer, nn.Conv2d))
    watched = conv if conv.bias is not None else layers[place + 1]
    found: list[Tensor] = []
    hook = watched.register_forward_hook(lambda _module, _inputs, output: found.append(output.clone()))
    model.forward_stages(x, keep=["stem"])
    hook.remove()
    padding = conv.padding[0] if isinstance(conv.padding[0], int) else 0
    edge = -(-(conv.kernel_size[0] + padding) // conv.stride[0])
    return found[0][:, :, edge:-edge, edge:-edge]


def larger(model: StagedModel, x: Tensor) -> Tensor:
    """Images with an inside: at least two windows of any first convolution away from the edge."""
    return x if x.shape[-1] >= 48 or model.max_side else torch.cat([torch.cat([x, x], 2)] * 2, 3)


@pytest.mark.parametrize("family", FAMILIES)
def test_grey_gives_what_the_same_image_three_times_gave(family: str) -> None:
    model = checks.settled(FAMILIES[family]).double()
    grey = greys(model)
    alike = replace(CAFFE, mean=(110.0, 110.0, 110.0))  # padding is nothing but grey of this value
    folded = copy.deepcopy(model)
    after = to_grey(folded, alike)
    assert (folded.in_channels, after.channels, after.value_range) == (1, "grey", (0.0, 255.0))
    expected = model(normalised(grey.expand(-1, 3, -1, -1), alike))
    torch.testing.assert_close(folded(normalised(grey, after)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_grey_is_exact_wherever_no_window_hangs_over_the_edge(family: str) -> None:
    model = checks.settled(FAMILIES[family]).double()
    grey = larger(model, greys(model))
    folded = copy.deepcopy(model)
    after = to_grey(folded, CAFFE)
    expected = first_maps(model, normalised(grey.expand(-1, 3, -1, -1), CAFFE))
    assert expected.numel()
    torch.testing.assert_close(first_maps(folded, normalised(grey, after)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_colour_gives_what_its_luma_gave(family: str) -> None:
    entry = FAMILIES[family]
    grey_only = checks.build(entry, in_channels=1).double().eval()
    before = Preprocess(size=(32, 32), channels="grey", mean=(0.3,), std=(0.2,))
    folded = copy.deepcopy(grey_only)
    after = to_colour(folded, before)
    side = checks.side_of(grey_only)
    colours = 255 * torch.rand(2, 3, side, side, dtype=torch.float64)
    luma = (colours * torch.tensor(LUMA, dtype=torch.float64).view(1, 3, 1, 1)).sum(1, keepdim=True)
    expected = grey_only(normalised(luma, before))
    torch.testing.assert_close(folded(normalised(colours, after)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_any_number_of_bands(family: str) -> None:
    model = checks.settled(FAMILIES[family])
    side = checks.side_of(model)
    to_bands(model, 7)
    out = model(torch.rand(2, 7, side, side))
    assert out.shape[:2] == (2, checks.CLASSES)
    assert out.isfinite().all()


PUBLISHED = {entry.family: entry for entry in entries() if entry.input[0] == 3 and catalogue.entries_for(entry.name)}


@pytest.mark.parametrize("family", PUBLISHED)
def test_whatever_has_published_weights_takes_grey_images(family: str) -> None:
    """The first filters, and the place of the constant, are found in each as it is published."""
    entry = PUBLISHED[family]
    for checkpoint in catalogue.entries_for(entry.name):
        with shapes_only():
            model = entry.create(options=checkpoint.options)
        model.get_submodule("stem").to_empty(device="cpu")
        to_grey(model, checkpoint.preprocess)
        assert model.in_channels == 1


def test_a_first_convolution_that_nothing_normalises_in_its_stage() -> None:
    """The norm of a later stage is not all that reads its maps, so it must not be shifted."""
    model = REGISTRY.get("densenet_bc_100_12").create()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(PlanError, match="nowhere to put a constant"):
        to_grey(model, CAFFE)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    to_grey(model, replace(CAFFE, mean=(0.1, 0.1, 0.1)))  # with means alike there is no constant
    assert model.in_channels == 1
