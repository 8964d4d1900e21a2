"""Names of transformers and of ConvNeXt's authors, from tables of the names that their code gives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from striate.core.meta import shapes_only
from striate.models import REGISTRY, ImageModel
from striate.weights import maps, open_model
from striate.weights.load import fit

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
BOTH = ("weight", "bias")


def cn(name: str) -> list[str]:
    return [f"{name}.convolution.weight", *(f"{name}.normalization.{each}" for each in NORM)]


def resnet(blocks: tuple[int, ...], convs: int) -> Iterator[str]:
    yield from cn("resnet.embedder.embedder")
    for stage, count in enumerate(blocks):
        for block in range(count):
            place = f"resnet.encoder.stages.{stage}.layers.{block}"
            if block == 0 and (stage or convs == 3):
                yield from cn(f"{place}.shortcut")
            for conv in range(convs):
                yield from cn(f"{place}.layer.{conv}")
    yield from (f"classifier.1.{each}" for each in BOTH)


def convnext(own: str, blocks: tuple[int, ...]) -> Iterator[str]:
    yield from (f"{own}.embeddings.{part}.{each}" for part in ("patch_embeddings", "layernorm") for each in BOTH)
    for stage, count in enumerate(blocks):
        place = f"{own}.encoder.stages.{stage}"
        if stage:
            yield from (f"{place}.downsampling_layer.{part}.{each}" for part in (0, 1) for each in BOTH)
        for block in range(count):
            parts = ("dwconv", "layernorm", "pwconv1", "pwconv2", *(("grn",) if own.endswith("v2") else ()))
            yield from (f"{place}.layers.{block}.{part}.{each}" for part in parts for each in BOTH)
            if not own.endswith("v2"):
                yield f"{place}.layers.{block}.layer_scale_parameter"
    yield from (f"{own}.layernorm.{each}" for each in BOTH)
    yield from (f"classifier.{each}" for each in BOTH)


def facebook(blocks: tuple[int, ...], *, second: bool) -> Iterator[str]:
    yield from (f"downsample_layers.{n}.{part}.{each}" for n in range(4) for part in (0, 1) for each in BOTH)
    for stage, count in enumerate(blocks):
        for block in range(count):
            place = f"stages.{stage}.{block}"
            yield from (f"{place}.{part}.{each}" for part in ("dwconv", "norm", "pwconv1", "pwconv2") for each in BOTH)
            yield from (f"{place}.grn.gamma", f"{place}.grn.beta") if second else (f"{place}.gamma",)
    yield from (f"{part}.{each}" for part in ("norm", "head") for each in BOTH)


def mobilenet_v1() -> Iterator[str]:
    yield from cn("mobilenet_v1.conv_stem")
    for layer in range(26):
        yield from cn(f"mobilenet_v1.layer.{layer}")
    yield from (f"classifier.{each}" for each in BOTH)


def mobilenet_v2() -> Iterator[str]:
    own = "mobilenet_v2"
    for part in ("first_conv", "conv_3x3", "reduce_1x1"):
        yield from cn(f"{own}.conv_stem.{part}")
    for layer in range(16):
        for part in ("expand_1x1", "conv_3x3", "reduce_1x1"):
            yield from cn(f"{own}.layer.{layer}.{part}")
    yield from cn(f"{own}.conv_1x1")
    yield from (f"classifier.{each}" for each in BOTH)


def efficientnet() -> Iterator[str]:
    own = "efficientnet"
    yield f"{own}.embeddings.convolution.weight"
    yield from (f"{own}.embeddings.batchnorm.{each}" for each in NORM)
    for block in range(16):
        place = f"{own}.encoder.blocks.{block}"
        for part, conv, norm in (
            ("expansion", "expand_conv", "expand_bn"),
            ("depthwise_conv", "depthwise_conv", "depthwise_norm"),
            ("projection", "project_conv", "project_bn"),
        ):
            if block or part != "expansion":
                yield f"{place}.{part}.{conv}.weight"
                yield from (f"{place}.{part}.{norm}.{each}" for each in NORM)
        yield from (f"{place}.squeeze_excite.{part}.{each}" for part in ("reduce", "expand") for each in BOTH)
    yield f"{own}.encoder.top_conv.weight"
    yield from (f"{own}.encoder.top_bn.{each}" for each in NORM)
    yield from (f"classifier.{each}" for each in BOTH)


PEERS = {
    ("transformers", "resnet18"): lambda: resnet((2, 2, 2, 2), 2),
    ("transformers", "resnet50"): lambda: resnet((3, 4, 6, 3), 3),
    ("transformers", "convnext_tiny"): lambda: convnext("convnext", (3, 3, 9, 3)),
    ("transformers", "convnextv2_atto"): lambda: convnext("convnextv2", (2, 2, 6, 2)),
    ("transformers", "mobilenet_v1"): mobilenet_v1,
    ("transformers", "mobilenet_v2"): mobilenet_v2,
    ("transformers", "efficientnet_b0"): efficientnet,
    ("facebook", "convnext_tiny"): lambda: facebook((3, 3, 9, 3), second=False),
    ("facebook", "convnextv2_atto"): lambda: facebook((2, 2, 6, 2), second=True),
}


@pytest.mark.parametrize(("source", "name"), PEERS, ids="-".join)
@pytest.mark.parametrize("without", [False, True])
def test_every_name_has_its_tensor(source: str, name: str, without: bool) -> None:
    with shapes_only():
        model = REGISTRY.get(name).create()
    names = list(PEERS[source, name]())
    if without:  # the file of a backbone has not the network's own name in front
        names = [
            re.sub(r"^(?:resnet|convnext|convnextv2|mobilenet_v1|mobilenet_v2|efficientnet)\.", "", n) for n in names
        ]
    found = fit(model, {each: torch.empty(1, device="meta") for each in names}, rows(source, name, model))
    assert not found.extra
    assert not found.missing
    assert set(found.tensors) | set(found.mismatched) == set(model.state_dict())


def rows(source: str, name: str, model: ImageModel):
    return maps.get(source, REGISTRY.get(name).family)(model)


@pytest.mark.parametrize(
    ("source", "name", "options"),
    [
        ("transformers", "mobilenet_v2", {"padding": "same", "eps": 1e-3}),
        ("transformers", "efficientnet_b0", {"padding": "same", "eps": 1e-3}),
        ("facebook", "convnextv2_atto", {}),
    ],
)
def test_a_file_opens_with_the_options_of_its_code(
    tmp_path: Path, source: str, name: str, options: dict[str, object]
) -> None:
    model = REGISTRY.get(name).create(classes=5)
    ours = model.state_dict()
    state: dict[str, Tensor] = {}
    table = [row for row in rows(source, name, model) if isinstance(row, maps.rules.Rule)]
    for each in PEERS[source, name]():
        target = next(filter(None, (row.rename(each) for row in table)))
        state[each] = ours[target].clone()
        if "grn" in each:
            state[each] = state[each].reshape(1, 1, 1, -1)
    save_file(state, tmp_path / "w.safetensors")
    opened = open_model(f"{name}:{tmp_path / 'w.safetensors'}")
    assert opened.load_record.source == source
    assert {key: opened.options[key] for key in options} == options
    assert all(torch.equal(tensor, ours[each]) for each, tensor in opened.model.state_dict().items())
