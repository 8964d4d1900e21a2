from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from striate.core.errors import CheckpointError, PlanError
from striate.models import REGISTRY, ImageModel
from striate.models.registry import with_options
from striate.weights import load_state_dict, maps, read_state, save_state
from striate.weights.load import fit
from striate.weights.maps import keras_layout as keras
from striate.weights.maps.rules import Constant, Rule, Skip


def tiny(name: str, classes: int = 5) -> ImageModel:
    entry = REGISTRY.get(name)
    torch.manual_seed(0)
    return entry.build(entry.tiny, classes=classes, in_channels=entry.input[0])


@pytest.fixture
def model() -> ImageModel:
    return tiny("resnet20_cifar")


def random_state(model: ImageModel) -> dict[str, torch.Tensor]:
    return {
        name: torch.rand_like(tensor) + 0.5 if tensor.is_floating_point() else tensor.clone()
        for name, tensor in model.state_dict().items()
    }


@pytest.mark.parametrize("name", ["lenet5", "alexnet", "vgg16_bn", "resnet18", "mobilenet_v1", "mobilenet_v2", "mlp"])
@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_own_files_go_round(name: str, dtype: torch.dtype | None, tmp_path: Path) -> None:
    first, second = tiny(name).eval(), tiny(name).eval()
    first.load_state_dict(random_state(first))
    save_state(first, tmp_path / "m.safetensors", dtype=dtype, metadata={"recipe": "none"})
    record = load_state_dict(second, read_state(tmp_path / "m.safetensors"))
    floats = sum(tensor.is_floating_point() for tensor in first.state_dict().values())
    assert record.matched == len(first.state_dict())
    assert not record.skipped
    assert not record.fresh
    assert record.cast == ({"float16 to float32": floats} if dtype else {})
    for key, tensor in second.state_dict().items():
        assert tensor.dtype == first.state_dict()[key].dtype
        torch.testing.assert_close(tensor, first.state_dict()[key], rtol=1e-3 if dtype else 0, atol=0)


def test_numbers_too_large_for_the_format_are_not_stored(model: ImageModel, tmp_path: Path) -> None:
    model.head.logits_layer.bias.data[0] = 1e6
    with pytest.raises(PlanError, match=r"head\.logits\.bias"):
        save_state(model, tmp_path / "m.safetensors", dtype=torch.float16)
    assert not list(tmp_path.iterdir())


def test_a_refused_file_changes_nothing(model: ImageModel) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = random_state(model)
    del state["stem.norm.weight"]
    state["other.weight"] = torch.ones(1)
    state["stem.norm.bias"] = torch.ones(7)
    with pytest.raises(CheckpointError) as caught:
        load_state_dict(model, state)
    for part in (
        "1 tensors are missing (stem.norm.weight)",
        "1 are left over (other.weight)",
        "stem.norm.bias [7] for",
    ):
        assert part in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_only_the_batch_counters_may_be_absent(model: ImageModel) -> None:
    state = {name: each for name, each in random_state(model).items() if not name.endswith("num_batches_tracked")}
    record = load_state_dict(model, state)
    assert record.matched == len(state)
    assert all(name.endswith("num_batches_tracked") for name in record.fresh)
    assert len(record.fresh) + record.matched == len(model.state_dict())


def test_another_number_of_classes_says_replace_the_head(model: ImageModel) -> None:
    state = random_state(tiny("resnet20_cifar", classes=9))
    before = model.head.logits_layer.weight.clone()
    with pytest.raises(CheckpointError, match=r"9 classes, the network 5.*replace the head"):
        load_state_dict(model, state)
    record = load_state_dict(model, state, replace_head=True)
    assert set(record.skipped) == {"head.logits.weight", "head.logits.bias"} == set(record.fresh)
    assert torch.equal(model.head.logits_layer.weight, before)
    assert torch.equal(model.stem.conv.weight, state["stem.conv.weight"])


def test_a_backbone_file_is_taken_only_as_one(model: ImageModel) -> None:
    state = {name: tensor for name, tensor in random_state(model).items() if not name.startswith("head.")}
    with pytest.raises(CheckpointError, match="2 tensors are missing"):
        load_state_dict(model, state)
    record = load_state_dict(model, state, backbone=True)
    assert set(record.fresh) == {"head.logits.weight", "head.logits.bias"}
    del state["stem.conv.weight"]
    with pytest.raises(CheckpointError, match=r"stem\.conv\.weight"):
        load_state_dict(model, state, backbone=True)


def test_a_file_of_another_network_is_refused() -> None:
    with pytest.raises(CheckpointError, match="not the striate weights of this VGG"):
        load_state_dict(tiny("vgg16_bn"), random_state(tiny("resnet18")))


def test_skipped_and_fresh_tensors_are_reported_with_the_reason(model: ImageModel) -> None:
    state = {name: each for name, each in random_state(model).items() if not name.endswith("norm.weight")}
    state |= {"aux1.weight": torch.ones(2), "aux1.bias": torch.ones(2)}
    skip, fill = Skip(r"aux1\..+", "no such head"), Constant(r".+\.norm\.weight", 0.5, "does not scale")
    rows = [Rule(r"(.+)", "{1}"), skip, fill]
    found = fit(model, state, rows)
    assert found.complete
    assert found.skipped == dict.fromkeys(["aux1.weight", "aux1.bias"], "no such head")
    scales = [name for name in model.state_dict() if name.endswith("norm.weight")]
    assert found.fresh == dict.fromkeys(scales, "does not scale")
    for name in scales:
        assert torch.equal(found.tensors[name], torch.full_like(model.state_dict()[name], 0.5))
    # what the file does hold counts
    given = torch.rand_like(model.state_dict()[scales[0]])
    assert fit(model, state | {scales[0]: given}, rows).tensors[scales[0]] is given
    # and without its rows, the map refuses
    assert fit(model, state, rows[:1]).extra == ["aux1.weight", "aux1.bias"]
    assert fit(model, state, rows[:2]).missing == scales


def test_a_scale_that_keras_leaves_out_is_one() -> None:
    """Keras' Inception v3 has normalisations of shift alone."""
    model = tiny("inception_v3")
    state: dict[str, torch.Tensor] = {}
    for rule in maps.get("keras", "inception_v3")(model):
        if not isinstance(rule, Rule) or rule.pattern.endswith("/gamma"):
            continue
        ours = torch.rand_like(model.state_dict()[rule.target]) + 0.5
        theirs = ours.permute(2, 3, 1, 0) if ours.ndim == 4 else ours.t() if ours.ndim == 2 else ours
        state[rule.pattern] = theirs
    record = load_state_dict(model, state, "keras")
    kept = {name for name in model.state_dict() if not name.startswith("aux.")}
    scales = {name for name in kept if name.endswith("norm.weight")}
    assert {name for name in record.fresh if name in kept and not name.endswith("num_batches_tracked")} == scales
    assert all(torch.equal(model.state_dict()[name], torch.ones_like(model.state_dict()[name])) for name in scales)
    assert torch.equal(model.get_parameter("stem.conv1.conv.weight"), keras.convolution(state["conv2d_0/kernel"]))


def test_a_file_without_auxiliary_heads_leaves_ours_as_they_are() -> None:
    entry = REGISTRY.get("googlenet")
    model = entry.build(entry.tiny, classes=5, in_channels=3)
    before = {name: each.clone() for name, each in model.state_dict().items() if name.startswith("aux.")}
    state = random_state(entry.build(with_options(entry.tiny, {"aux": None}), classes=5, in_channels=3))
    record = load_state_dict(model, state)
    assert record.fresh == dict.fromkeys(before, "the file has no auxiliary heads")
    assert record.matched == len(state)
    assert all(torch.equal(model.state_dict()[name], each) for name, each in before.items())
    # but some of their tensors are as wrong as some of any others
    with pytest.raises(CheckpointError, match="tensors are missing"):
        load_state_dict(model, state | {"aux.stage3/unit1.logits.bias": torch.zeros(5)})


def test_keras_layouts_compute_what_keras_computes() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 7, 7)  # [n, c, h, w]
    last = x.permute(0, 2, 3, 1)  # [n, h, w, c], as Keras has it
    kernel = torch.randn(3, 3, 3, 4)
    patches = F.unfold(x, 3).reshape(2, 3, 3, 3, 25)  # [n, c, ky, kx, places]
    expected = torch.einsum("ncyxp,yxco->nop", patches, kernel)
    torch.testing.assert_close(F.conv2d(x, keras.convolution(kernel)).flatten(2), expected)
    kernel = torch.randn(3, 3, 3, 2)
    expected = torch.einsum("ncyxp,yxcm->ncmp", patches, kernel).flatten(1, 2)
    torch.testing.assert_close(F.conv2d(x, keras.depthwise(kernel), groups=3).flatten(2), expected)
    kernel = torch.randn(7 * 7 * 3, 6)
    move = keras.flattened(7).move
    assert move is not None
    torch.testing.assert_close(F.linear(x.flatten(1), move(kernel)), last.flatten(1) @ kernel)
    kernel = torch.randn(1, 1, 3, 6)
    torch.testing.assert_close(F.linear(x[:, :, 0, 0], keras.dense(kernel)), last[:, 0, 0] @ kernel[0, 0])


def test_a_bias_before_a_normalisation_is_folded() -> None:
    """Keras' ResNets have them; ours must compute the same without."""
    model = tiny("resnet50").eval().double()
    model.load_state_dict({k: v.double() if v.is_floating_point() else v for k, v in random_state(model).items()})
    state: dict[str, torch.Tensor] = {}
    biases = nn.ParameterDict()
    for rule in maps.get("keras", "resnet")(model):
        for key in keys_for(rule.pattern):
            target = rule.rename(key)
            if target not in model.state_dict():
                continue
            if rule.subtract:
                state[key] = torch.randn_like(model.state_dict()[target])
                biases[target.replace(".", "/")] = state[key]
            elif rule.move is keras.convolution:
                state[key] = model.state_dict()[target].permute(2, 3, 1, 0)
            elif rule.move is keras.dense:
                state[key] = model.state_dict()[target].t()
            else:
                state[key] = model.state_dict()[target].clone()
    x = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    # the function to reproduce: this network with the biases put back as layers' own
    for name, bias in biases.items():
        conv = model.get_submodule(name.replace("/", ".").removesuffix(".norm.running_mean") + ".conv")
        assert isinstance(conv, nn.Conv2d)
        conv.bias = nn.Parameter(bias.clone())
    expected = model(x)
    ours = tiny("resnet50").eval().double()
    record = load_state_dict(ours, state, "keras")
    assert len(biases) == 17
    assert record.matched + len(record.fresh) == len(ours.state_dict())
    torch.testing.assert_close(ours(x), expected)


def keys_for(pattern: str) -> list[str]:
    """Names that a Keras pattern means, for one block a stage."""
    if pattern.startswith("conv("):
        rest = pattern.split("_block(\\d+)_", 1)[1]
        tails = [rest.replace("(\\d)", str(k)) for k in (1, 2, 3)] if "(\\d)" in rest else [rest]
        return [f"conv{stage}_block1_{tail}" for stage in (2, 3, 4, 5) for tail in tails]
    return [pattern.replace("(?:predictions|probs|fc1000)", "predictions")]
