"""Which programs take our networks? One row per network, one column per way to use it.

Each cell runs the full network with random weights that way, and compares the output with the network's own, at another
number of images and another size than those it was recorded with, where it can be left open. ONNX needs ``onnx``,
``onnxscript`` and ``onnxruntime``; create_feature_extractor needs torchvision (``PYTHONPATH=.peers``). Without them the
cell is empty.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parity"))

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from striate.models import REGISTRY, DenseModel, ImageModel, StagedModel

NETWORKS = [
    "mlp",
    "lenet5",
    "alexnet",
    "zfnet",
    "vgg11_bn",
    "googlenet",
    "inception_v3",
    "resnet18",
    "resnet50v2",
    "resnext29_8x64d",
    "se_resnet50",
    "wrn16_4",
    "resnet20_cifar",
    "stochastic_depth_resnet110",
    "shake_shake_26",
    "densenet_bc_100_12",
    "mobilenet_v1",
    "mobilenet_v2",
    "tf_efficientnet_b0",
    "xception",
    "convnextv2_atto",
    "airbench94",
    "fcn8s",
    "unet",
    "odenet_mnist",
]
"""One or two of each kind of layer: paddings, pools, shortcuts, gates, auxiliary heads, decoders."""


def images(model: StagedModel, count: int, more: tuple[int, int] = (0, 0)) -> Tensor:
    """Images of a size at which every map has several positions."""
    side = model.max_side or model.min_side + max(0, -(-(128 - model.min_side) // model.side_step)) * model.side_step
    step = 0 if model.max_side else model.side_step
    return torch.rand(count, model.in_channels, side + more[0] * step, side + more[1] * step)


def other(model: StagedModel) -> Tensor:
    """Images of another number and size."""
    return images(model, 3, (9, 4))


def close(ours: Tensor, theirs: Tensor) -> None:
    """Refuse a difference above that of another order of sums."""
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def children(model: StagedModel) -> None:
    """``Sequential(*list(model.children())[:-1])`` is the backbone."""
    x = images(model, 1)
    last = model.stages[-1]
    close(nn.Sequential(*list(model.children())[:-1])(x), model.forward_stages(x, keep=[last])[last])


def fx(model: StagedModel) -> None:
    """``torch.fx.symbolic_trace``, in training too."""
    torch.fx.symbolic_trace(model.train())
    graph = torch.fx.symbolic_trace(model.eval())
    x = other(model)
    close(graph(x), model(x))


def extractor(model: StagedModel) -> None:
    """Torchvision's ``create_feature_extractor``."""
    import shim as shim
    from torchvision.models.feature_extraction import create_feature_extractor

    x = other(model)
    for name, maps in create_feature_extractor(model, list(model.stages))(x).items():
        close(maps, model.forward_stages(x, keep=[name])[name])


def exported(model: StagedModel) -> torch.export.ExportedProgram:
    """The network with an open number of images, height and width."""
    axes = (0,) if model.max_side else (0, 2, 3)
    left_open = dict.fromkeys(axes, torch.export.Dim.DYNAMIC)  # type: ignore[attr-defined]
    return torch.export.export(model, (images(model, 2),), dynamic_shapes=(left_open,))


def export(model: StagedModel) -> None:
    """``torch.export`` with an open number of images, height and width."""
    x = other(model)
    close(exported(model).module()(x), model(x))


def onnx(model: StagedModel) -> None:
    """ONNX with an open number of images, run by onnxruntime."""
    import onnxruntime

    x = images(model, 2)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))  # type: ignore[attr-defined]
    made = torch.onnx.export(program, dynamo=True, verbose=False)
    assert made is not None
    session = onnxruntime.InferenceSession(made.model_proto.SerializeToString())
    x = images(model, 3)
    (answer,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    close(torch.from_numpy(answer), model(x))


def compiled(model: StagedModel, backend: str = "eager") -> None:
    """``torch.compile(fullgraph=True)`` of the network, its stages and its halves."""
    torch._dynamo.reset()
    x = images(model, 2)
    size = (x.shape[2], x.shape[3]) if isinstance(model, DenseModel) else None
    close(torch.compile(model, fullgraph=True, backend=backend)(x), model(x))
    stages = torch.compile(model.forward_stages, fullgraph=True, backend=backend)(x)
    close(stages[model.stages[-1]], model.forward_stages(x)[model.stages[-1]])
    halves = model.cut(model.stages[len(model.stages) // 2])
    bottom, top = (torch.compile(half, fullgraph=True, backend=backend) for half in halves)
    close(top(bottom(x), size), model(x))


def inductor(model: StagedModel) -> None:
    """The same with the default backend, the network alone."""
    torch._dynamo.reset()
    x = images(model, 2)
    close(torch.compile(model, fullgraph=True)(x), model(x))


def distributed(model: StagedModel) -> None:
    """Three steps of plain DistributedDataParallel, without ``find_unused_parameters``."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
    try:
        with torch.enable_grad():
            parallel = DistributedDataParallel(model.train())
            for _ in range(3):
                parallel(images(model, 2)).sum().backward()
    finally:
        dist.destroy_process_group()
        model.eval()


WAYS: dict[str, tuple[Callable[[StagedModel], None], tuple[str, ...]]] = {
    "children": (children, ()),
    "fx": (fx, ()),
    "extractor": (extractor, ("torchvision",)),
    "export": (export, ()),
    "onnx": (onnx, ("onnx", "onnxscript", "onnxruntime")),
    "compile": (compiled, ()),
    "inductor": (inductor, ()),
    "ddp": (distributed, ()),
}


def cell(model: StagedModel, way: str, *, errors: bool) -> str:
    """``ok`` and the seconds that it took, the kind of the error, or nothing if a package is missing."""
    run, needed = WAYS[way]
    if not all(importlib.util.find_spec(each) for each in needed):
        return ""
    began = time.perf_counter()
    try:
        with torch.no_grad():
            run(model)
    except Exception as error:
        if errors:
            print(f"{way}: {type(error).__name__}: {str(error)[:400]}", file=sys.stderr)
        return type(error).__name__
    return f"ok, {time.perf_counter() - began:.1f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[way for way in WAYS if way != "inductor"])
    parser.add_argument("--errors", action="store_true", help="print what an error says")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    print("| network | " + " | ".join(arguments.ways) + " |", "| --- " * (1 + len(arguments.ways)) + "|", sep="\n")
    for name in arguments.networks:
        torch.manual_seed(0)
        model = REGISTRY.get(name).create().eval()
        assert isinstance(model, ImageModel | DenseModel)
        cells = [cell(model, way, errors=arguments.errors) for way in arguments.ways]
        print(f"| `{name}` | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
