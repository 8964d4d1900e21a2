"""Speed of our networks against the same networks of torchvision, in one process.

Both networks hold the same weights, and their logits are compared before the timing. The comparison is eager PyTorch in
float32, in both memory layouts: the forward pass in evaluation mode, and a training step (forward, cross-entropy,
backward, SGD with momentum). The forward pass is also measured on the engines that `striate` uses for inference
(`inference/engines.py`): uint8 images, folded batch normalisation and channels last, in bfloat16, and on OpenVINO.
Their ratio is relative to the faster of torchvision's two layouts, which receives normalised floats and so has less to
do.

All measurements are interleaved: every round runs each of them once, torchvision's and ours next to each other, and the
order reverses from round to round. The ratio is the median over the rounds of torchvision's time over ours: above 1,
Striate is faster. The 95 % interval is from the bootstrap.

    PYTHONPATH=.peers python benchmarks/networks.py --networks resnet50 mobilenet_v2
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from timing import Clock, Work, add_options, compare, interleave, make_clock, timed
from torch import Tensor, nn

from striate.core.errors import EngineError
from striate.core.memory import keep_freed_memory
from striate.core.preprocess import Preprocess
from striate.inference.engines import OpenVinoEngine, TorchEngine
from striate.models import REGISTRY, ImageModel
from striate.models.pixels import PixelNetwork
from striate.weights import load_state_dict

RESULTS = Path(__file__).with_name("results.jsonl")
NETWORKS = ("resnet50", "mobilenet_v2", "densenet121", "efficientnet_b0", "convnext_tiny")
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
MIN_RATIO = 0.97
"""Required speed relative to torchvision in eager mode; below it, the script exits with an error."""
TOLERANCE = 1e-3
"""Maximum difference of the logits, relative to the largest logit, between equal float32 networks."""


def import_torchvision() -> ModuleType:
    """Import `torchvision.models`, even if torchvision's compiled operators (unused here) need another torch."""
    try:
        import torchvision.models
    except ModuleNotFoundError as error:
        raise SystemExit("torchvision is not installed: run make bench, or put it on PYTHONPATH") from error
    except RuntimeError:  # the import needs these two operators to be declared
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        operators = torch.library.Library("torchvision", "DEF")
        operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision.models
    return torchvision.models


def pair(name: str) -> tuple[nn.Module, ImageModel]:
    """Torchvision's network and ours, with the same weights."""
    torch.manual_seed(0)
    reference = getattr(import_torchvision(), name)(weights=None)
    ours = REGISTRY.get(name).create()
    load_state_dict(ours, reference.state_dict(), source="torchvision")
    return reference, ours


def difference(actual: Tensor, expected: Tensor) -> float:
    """Maximum absolute difference, relative to the largest absolute expected value."""
    return float((actual - expected).abs().max() / expected.abs().max())


def with_layout(model: nn.Module, layout: torch.memory_format) -> nn.Module:
    """A copy of the network with its weights in `layout`. In place, the change would affect the other measurements."""
    return copy.deepcopy(model).to(memory_format=layout)  # pyright: ignore[reportCallIssue]


def forward_work(model: nn.Module, images: Tensor) -> Work:
    """One forward pass in evaluation mode, without gradients."""
    model.eval()

    def work() -> Tensor:
        with torch.inference_mode():
            return model(images)

    return work


def step_work(model: nn.Module, images: Tensor, labels: Tensor) -> Work:
    """One training step."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)

    def work() -> None:
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return work


def engine_works(model: ImageModel, pixels: np.ndarray) -> dict[str, Work]:
    """The forward pass on every inference engine that this machine supports."""
    batch, side = pixels.shape[:2]
    classifier = PixelNetwork(model, Preprocess(size=(side, side))).eval()
    folded = TorchEngine(classifier, batch, torch.device("cpu"))

    def bf16() -> np.ndarray:
        with torch.autocast("cpu", torch.bfloat16):
            return folded.run(pixels)

    works: dict[str, Work] = {"folded": lambda: folded.run(pixels), "folded, bf16": bf16}
    for label, low in (("OpenVINO", False), ("OpenVINO, bf16", True)):
        try:
            engine = OpenVinoEngine(classifier, batch, (side, side, 3), bf16=low)
        except EngineError as error:
            print(f"{label}: {error.message}")
            continue
        works[label] = lambda engine=engine: engine.run(pixels)
    return works


def forward_rows(
    reference: nn.Module, ours: ImageModel, pixels: np.ndarray, count: int, clock: Clock
) -> list[dict[str, Any]]:
    """Our forward pass in both layouts and on the engines, against torchvision's."""
    classifier = PixelNetwork(ours, Preprocess(size=(pixels.shape[1], pixels.shape[2])))
    floats = classifier.input(torch.from_numpy(pixels))
    expected = forward_work(reference, floats)()
    assert isinstance(expected, Tensor)
    works = engine_works(ours, pixels)
    gaps = {path: difference(torch.as_tensor(np.asarray(work())), expected) for path, work in works.items()}
    for path, layout in LAYOUTS.items():
        x = floats.contiguous(memory_format=layout)
        for who, model in (("reference", reference), ("ours", ours)):
            works[f"{who} {path}"] = forward_work(with_layout(model, layout), x)
        actual = works[f"ours {path}"]()
        assert isinstance(actual, Tensor)
        gaps[path] = difference(actual, expected)
        if gaps[path] > TOLERANCE:
            raise SystemExit(f"the networks differ: relative difference of the logits {gaps[path]:.1e} ({path})")
    seconds = interleave({who: timed(work, clock) for who, work in works.items()}, count)
    fastest = min(LAYOUTS, key=lambda path: float(np.median(seconds[f"reference {path}"])))
    rows = []
    for path, gap in gaps.items():
        reference_s = seconds[f"reference {path if path in LAYOUTS else fastest}"]
        ours_s = seconds[f"ours {path}" if path in LAYOUTS else path]
        rows.append(
            {"mode": "forward", "path": path, **compare(reference_s, ours_s), "difference": float(f"{gap:.1e}")}
        )
    return sorted(rows, key=lambda row: row["path"] not in LAYOUTS)


def step_rows(
    reference: nn.Module, ours: ImageModel, batch: int, side: int, count: int, clock: Clock
) -> list[dict[str, Any]]:
    """Our training step in both layouts, against torchvision's."""
    x = torch.rand(batch, 3, side, side)
    labels = torch.arange(batch) % ours.classes
    rows = []
    for path, layout in LAYOUTS.items():
        works = {
            who: step_work(with_layout(model, layout), x.contiguous(memory_format=layout), labels)
            for who, model in (("reference", reference), ("ours", ours))
        }
        seconds = interleave({who: timed(work, clock) for who, work in works.items()}, count)
        rows.append({"mode": "step", "path": path, **compare(seconds["reference"], seconds["ours"])})
    return rows


def main() -> None:
    """Measure every network, and append a row per measurement to results.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), metavar="NAME", help="torchvision's names")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", type=int, default=224, help="height and width of the images, in pixels")
    parser.add_argument("--modes", nargs="+", choices=("forward", "step"), default=["forward", "step"])
    add_options(parser, torch.get_num_threads())
    options = parser.parse_args()
    keep_freed_memory()  # for both networks: page faults take a third of a step and would hide the difference
    torch.set_num_threads(options.threads)
    clock = make_clock(options.cpu_time)
    pixels = np.random.default_rng(0).integers(0, 256, (options.batch, options.side, options.side, 3), dtype=np.uint8)
    slow = []
    for name in options.networks:
        reference, ours = pair(name)
        rows = forward_rows(reference, ours, pixels, options.pairs, clock) if "forward" in options.modes else []
        rows += (
            step_rows(reference, ours, options.batch, options.side, options.pairs, clock)
            if "step" in options.modes
            else []
        )
        facts = {"benchmark": "networks", "network": name, "reference": f"torchvision {version('torchvision')}"}
        more = {"batch": options.batch, "side": options.side, "pairs": options.pairs, "threads": options.threads}
        more |= {"clock": "processor" if options.cpu_time else "wall"}
        more |= {"torch": torch.__version__, "machine": platform.machine()}
        for row in rows:
            print(
                f"{name:<16} {row['mode']:<8} {row['path']:<14} {row['reference_ms']:8.1f} ms {row['ms']:8.1f} ms "
                f"{row['ratio']:6.3f}  {row['low']:.3f} to {row['high']:.3f}  {row.get('difference', '')}",
                flush=True,
            )
            if row["path"] in LAYOUTS and row["ratio"] < MIN_RATIO:
                slow.append(f"{name} {row['mode']} {row['path']}: {row['ratio']:.3f}")
        if not options.dry:
            with open(RESULTS, "a", encoding="utf-8") as results:
                results.writelines(json.dumps(facts | row | more) + "\n" for row in rows)
    if slow:
        raise SystemExit(f"below {MIN_RATIO} of torchvision's speed: {'; '.join(slow)}")


if __name__ == "__main__":
    main()
