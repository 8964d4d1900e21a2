"""The names that tools written for timm look for; timm's own tests run in ``benchmarks/timm_tests.py``."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from striate.compat.timm import TimmFeatures, TimmModel, create_model
from striate.core.errors import PlanError, UnknownModelError
from striate.core.preprocess import Preprocess
from striate.models import REGISTRY, ImageModel


def made(name: str = "resnet20_cifar", **options: object) -> TimmModel:
    torch.manual_seed(0)
    model = create_model(name, **options)  # pyright: ignore[reportArgumentType]
    assert isinstance(model, TimmModel)
    return model.eval()


def tiny(name: str) -> ImageModel:
    entry = REGISTRY.get(name)
    torch.manual_seed(0)
    model = entry.build(entry.tiny, classes=5, in_channels=3)
    assert isinstance(model, ImageModel)
    return model.eval()


def adapted(name: str) -> TimmModel:
    return TimmModel(tiny(name), Preprocess(size=(64, 64)), name)


@pytest.mark.parametrize("name", ["efficientnet_b0", "googlenet", "vgg11", "convnext_tiny", "nasnet_mobile"])
def test_it_computes_what_the_network_computes(name: str) -> None:
    network, x = tiny(name), torch.rand(2, 3, 64, 64)
    model = TimmModel(network, Preprocess(size=(64, 64)))
    assert torch.equal(model(x), network(x))
    features = model.forward_features(x)
    assert features.shape[1] == model.num_features
    assert features.shape[2:] == model.default_cfg["pool_size"]
    assert model.forward_head(features, pre_logits=True).shape == (2, model.head_hidden_size)
    assert torch.equal(model.forward_head(features), network(x))
    assert {key for key in network.state_dict() if not key.startswith("aux.")} == set(model.state_dict())


@pytest.mark.parametrize("name", ["efficientnet_b0", "googlenet", "vgg11", "resnet50"])
def test_the_classifier_is_replaced_dropped_and_put_back(name: str) -> None:
    network = tiny(name)
    model, x = TimmModel(network, Preprocess(size=(64, 64))), torch.rand(2, 3, 64, 64)
    pooled = model.forward_head(model.forward_features(x), pre_logits=True)
    model.reset_classifier(0)
    assert (model.num_classes, type(model.get_classifier())) == (0, nn.Identity)
    assert torch.equal(model(x), pooled)
    model.reset_classifier(0, "")
    assert torch.equal(model(x), model.forward_features(x))
    model.reset_classifier(7)
    assert model(x).shape == (2, 7)
    assert torch.equal(model.forward_head(model.forward_features(x), pre_logits=True), pooled)
    model.reset_classifier(7, "max")
    assert not torch.equal(model.forward_head(model.forward_features(x), pre_logits=True), pooled)
    assert network(x).shape == (2, 5)  # the network has its own head still
    for wrong in ((-1, None), (3, ""), (3, "catavgmax")):
        with pytest.raises(PlanError, match=r"global_pool|num_classes"):
            model.reset_classifier(*wrong)


def test_maps_of_stages() -> None:
    model, x = adapted("resnet50"), torch.rand(2, 3, 64, 64)
    assert [each["module"] for each in model.feature_info] == list(model.stages)
    features, maps = model.forward_intermediates(x, [1, -1])
    assert torch.equal(features, model.forward_features(x))
    expected = model.forward_stages(x)
    assert torch.equal(maps[0], expected["stage1"])
    assert torch.equal(maps[1], expected[model.stages[-1]])
    early = model.forward_intermediates(x, 2, stop_early=True, intermediates_only=True)
    assert len(early) == 2
    with pytest.raises(PlanError, match="has none at"):
        model.forward_intermediates(x, [9])


def test_features_only_keeps_the_stages_that_are_asked_for() -> None:
    model = create_model("resnet20_cifar", features_only=True, out_indices=(0, 2))
    assert isinstance(model, TimmFeatures)
    assert (model.feature_info.channels(), model.feature_info.reduction()) == ([16, 32], [1, 2])
    maps = model.eval()(torch.rand(2, 3, 32, 32))
    assert [tuple(each.shape) for each in maps] == [(2, 16, 32, 32), (2, 32, 16, 16)]
    assert model.feature_info.module_name() == ["stem", "stage2"]
    sum(each.sum() for each in model.train()(torch.rand(2, 3, 32, 32))).backward()
    assert [name for name, each in model.named_parameters() if each.grad is None] == []


def test_gradients_with_checkpointing_are_the_same() -> None:
    found = []
    for enable in (False, True):
        model = made().train()
        model.set_grad_checkpointing(enable)
        model(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))).sum().backward()
        found.append([each.grad for each in model.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_the_configuration_says_what_the_input_is() -> None:
    config = made("lenet5", pretrained=True).pretrained_cfg
    assert config["input_size"] == (1, 32, 32)
    assert config["classifier"] + ".weight" in made("lenet5").state_dict()
    assert config["first_conv"] + ".weight" in made("lenet5").state_dict()
    bytes_to_units = Preprocess(size=(8, 8), mean=(127.0,) * 3, std=(128.0,) * 3, value_range=(0.0, 255.0))
    config = TimmModel(tiny("resnet50"), bytes_to_units).pretrained_cfg
    assert config["mean"] == pytest.approx((127 / 255,) * 3)
    assert config["std"] == pytest.approx((128 / 255,) * 3)


def test_arguments_of_timm() -> None:
    model = made(num_classes=3, in_chans=4, drop_rate=0.25, dtype=torch.float64, global_pool="max")
    assert (model.in_chans, model.num_classes, model.global_pool) == (4, 3, "max")
    assert model(torch.rand(2, 4, 32, 32, dtype=torch.float64)).shape == (2, 3)
    assert [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)] == [0.25]
    assert {each.device.type for each in made(device="meta").parameters()} == {"meta"}
    with pytest.raises(TypeError, match="not_an_argument"):
        create_model("resnet20_cifar", not_an_argument=1)  # pyright: ignore[reportCallIssue]
    with pytest.raises(UnknownModelError):
        create_model("resnet20_cifra")
    with pytest.raises(PlanError, match="a class for every position"):
        create_model("unet")
    with pytest.raises(PlanError, match="feature_cls"):
        create_model("resnet20_cifar", features_only=True, feature_cls="dict")


def test_published_weights_load() -> None:
    model = made("resnet20_cifar:cifar10")
    network = REGISTRY.get("resnet20_cifar").create()
    assert model.num_classes == 10
    assert not torch.equal(model.state_dict()["stem.conv.weight"], network.state_dict()["stem.conv.weight"])
