"""U-Net and FCN give the papers' sizes, and networks that answer for every position are refused where one is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from striate.core.errors import InputShapeError, PlanError
from striate.core.events import NoProgress
from striate.core.meta import shapes_only
from striate.jobs import train
from striate.models import REGISTRY, Backbone, DenseModel, ImageModel, entries
from striate.models.fcn import TINY as TINY_FCN
from striate.models.fcn import FCNSpec, Lattice, bilinear
from striate.models.unet import TINY as TINY_UNET
from striate.models.unet import UNet, UNetSpec
from striate.nn.decoder import Decoder
from striate.nn.heads import pooled_head
from striate.records.plans import TrainPlan
from striate.weights import create_model, load_state_dict, open_model


def on_meta(name: str) -> DenseModel:
    with shapes_only():
        model = REGISTRY.get(name).create()
    assert isinstance(model, DenseModel)
    return model.eval()


def shapes(maps: dict[str, Tensor]) -> list[list[int]]:
    return [list(each.shape[1:]) for each in maps.values()]


def test_unet_has_the_sizes_of_figure_1() -> None:
    model = on_meta("unet")
    x = torch.empty(1, 1, 572, 572, device="meta")
    expected = [[64, 568, 568], [128, 280, 280], [256, 136, 136], [512, 64, 64], [1024, 28, 28]]
    assert shapes(model.forward_stages(x)) == expected
    seen: dict[str, Tensor] = {}
    for name, step in model.head.get_submodule("steps").named_children():
        step.register_forward_hook(lambda _m, _i, output, name=name: seen.__setitem__(name, output))
    assert model(x).shape == (1, 2, 388, 388)
    assert shapes(seen) == [[512, 52, 52], [256, 100, 100], [128, 196, 196], [64, 388, 388]]
    assert sum(isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) for layer in model.modules()) == 23


@pytest.mark.parametrize("padding", ["valid", "symmetric"])
@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize("convs", [1, 2, 3])
def test_unets_sides_are_all_that_come_out_even(padding: str, depth: int, convs: int) -> None:
    """By brute force: a side serves when halving is exact at every pool and something is left of every map."""
    spec = UNetSpec(widths=(2,) * depth, convs=convs, padding=padding)
    lost = 2 * convs if padding == "valid" else 0
    allowed = {}
    for side in range(1, 300):
        inner, fits = side, True
        for _ in range(depth - 1):
            fits &= inner > lost and (inner - lost) % 2 == 0
            inner = (inner - lost) // 2
        inner -= lost
        for _ in range(depth - 1):
            fits &= inner > 0
            inner = 2 * inner - lost
        if fits and inner > 0:
            allowed[side] = inner
    assert list(allowed) == list(range(spec.min_side, 300, spec.side_step))
    assert {side - inner for side, inner in allowed.items()} == {2 * spec.margin}


def test_unet_answers_large_images_in_tiles_without_a_seam() -> None:
    model = UNet(TINY_UNET, classes=2, in_channels=1).double().eval()
    step, margin = model.side_step, model.margin
    side = model.min_side + 4 * step
    image = torch.rand(1, 1, side, side + 5 * step, dtype=torch.float64)
    whole = model(image)
    for left in range(0, 5 * step + 1, step):
        tile = model(image[..., left : left + side])
        torch.testing.assert_close(tile, whole[..., left : left + side - 2 * margin], rtol=1e-9, atol=1e-12)


def test_a_padded_unet_covers_the_image() -> None:
    model = UNet(UNetSpec(widths=(4, 6, 8), padding="symmetric"), classes=3, in_channels=3)
    assert (model.margin, model.min_side, model.side_step) == (0, 4, 4)
    assert model(torch.zeros(1, 3, 36, 20)).shape == (1, 3, 36, 20)
    with pytest.raises(
        InputShapeError, match=r"does not accept an image side of 38 px; the nearest that it accepts are 36 and 40"
    ):
        model(torch.zeros(1, 3, 36, 38))


@pytest.mark.parametrize(
    ("change", "match"),
    [({"widths": (4,)}, "two widths"), ({"padding": "same"}, "valid or symmetric"), ({"dropout": 1.0}, "two widths")],
)
def test_nonsense_unets_are_refused(change: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        UNetSpec(**change)


@pytest.mark.parametrize(("name", "offsets"), [("fcn32s", [19]), ("fcn16s", [5, 27]), ("fcn8s", [5, 9, 31])])
def test_fcns_crops_are_the_authors(name: str, offsets: list[int]) -> None:
    model = on_meta(name)
    steps = [step.offset for step in model.head.get_submodule("steps").children()]
    assert [*steps, model.head.offset] == offsets
    assert [info.reduction for info in model.stage_table] == [1, 2, 4, 8, 16, 32]
    assert model(torch.empty(1, 3, 37, 501, device="meta")).shape == (1, 21, 37, 501)


def test_every_side_from_one_pixel_on_serves_fcn() -> None:
    with shapes_only():
        model = REGISTRY.get("fcn8s").build(TINY_FCN, classes=2, in_channels=1).eval()
        for side in range(1, 140):
            assert model(torch.empty(1, 1, side, 64)).shape == (1, 2, side, 64)


@pytest.mark.parametrize("factor", [2, 8])
def test_upsampling_begins_as_bilinear_interpolation(factor: int) -> None:
    maps = torch.rand(1, 3, 6, 7)
    finer = bilinear(3, factor)(maps)[..., factor // 2 : -(factor // 2), factor // 2 : -(factor // 2)]
    expected = nn.functional.interpolate(maps, scale_factor=factor, mode="bilinear", align_corners=False)
    inner = (..., slice(factor, -factor), slice(factor, -factor))
    torch.testing.assert_close(finer[inner], expected[inner])


def test_lattices_that_do_not_meet_are_not_added() -> None:
    with pytest.raises(AssertionError):
        Lattice().offset(Lattice().window(2))


def test_skips_come_in_turn() -> None:
    with pytest.raises(ValueError, match="in turn from the deepest, stage3, stage2, stage1"):
        FCNSpec(skips=("stage2",))


class Scores(Decoder):
    """The smallest decoder: the last stage's scores, spread over the image."""

    def __init__(self, backbone: Backbone, classes: int) -> None:
        super().__init__([backbone.stages[-1]])
        self.logits = nn.Conv2d(backbone.stage_table[-1].channels, classes, 1)

    def forward(self, maps: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
        return nn.functional.interpolate(self.logits(maps[self.reads[0]]), size)

    def replace_logits(self, classes: int) -> None:
        self.logits = nn.Conv2d(self.logits.in_channels, classes, 1)


CLASSIFIERS = sorted({entry.family: entry.name for entry in entries() if entry.task == "classify"}.values())


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_any_decoder_and_any_head_can_be_built_on_any_backbone(name: str) -> None:
    entry = REGISTRY.get(name)
    classifier = entry.build(entry.tiny, classes=3, in_channels=3).eval()
    backbone = classifier.backbone
    names = {n for n, _ in backbone.named_parameters()}
    assert names == {n for n, _ in classifier.named_parameters() if not n.startswith(("head.", "aux."))}
    x = torch.rand(1, 3, *((backbone.max_side,) * 2 if backbone.max_side else (96, 104)))

    model = DenseModel.on(backbone, Scores(backbone, 5), classes=5)
    model.freeze(model.stages[-1]).eval()
    assert (model.stage_table, model.min_side) == (classifier.stage_table, classifier.min_side)
    assert model(x).shape == (1, 5, *x.shape[2:])
    bottom, top = model.cut("stem")
    assert torch.equal(top(bottom(x), (x.shape[2], x.shape[3])), model(x))
    with pytest.raises(InputShapeError, match="height and width"):
        top(bottom(x))

    other = ImageModel.on(backbone, pooled_head(backbone.stage_table[-1].channels, 7)).eval()
    assert (other(x).shape, other.classes) == ((1, 7), 7)
    whole = ImageModel.on(backbone, classifier.head).eval()
    assert torch.equal(whole(x), classifier.eval()(x))


def test_what_needs_one_answer_an_image_refuses_dense_networks(tmp_path: Path) -> None:
    match = "unet gives a class for every position; what is needed here gives one class for the whole image"
    with pytest.raises(PlanError, match=match):
        open_model("unet")
    with pytest.raises(PlanError, match=match):
        train.run(
            TrainPlan(network="unet", data="digits", recipe="lenet_short"), out=tmp_path / "run", progress=NoProgress()
        )
    assert not (tmp_path / "run").exists()


def test_dense_networks_are_built_and_loaded_by_name() -> None:
    model = REGISTRY.get("unet").build(TINY_UNET, classes=2, in_channels=1)
    other = REGISTRY.get("unet").build(TINY_UNET, classes=2, in_channels=1)
    assert load_state_dict(other, model.state_dict()).matched == len(model.state_dict())
    x = torch.rand(1, 1, model.min_side, model.min_side)
    assert torch.equal(model.eval()(x), other.eval()(x))
    with shapes_only():
        assert create_model("fcn8s", classes=4, in_channels=1).classes == 4
