"""Do networks of named stages cost speed? Ours against torchvision's same network, in one process.

Both hold the same weights, and their logits are compared before anything is timed. Eager PyTorch, float32, both memory
layouts: the forward pass in evaluation, and a training step (forward, cross-entropy, backward, SGD with momentum).
Beside the forward pass stand the ways in which `striate` itself runs a network over images (`inference/engines.py`):
from bytes, with batch normalisation folded and channels last, in bfloat16, and on OpenVINO. Their ratio is to the
faster of the peer's two layouts, which is given normalised floats and so has less to do.

Turns are interleaved: every round runs each once, peer and ours next to each other, the order reversed from round to
round. The ratio is the median over the rounds of the peer's time over ours, so above 1 is faster than the peer, with a
95 % interval from the bootstrap.

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
from torch import Tensor, nn
from turns import Clock, Turn, clock_of, clocked, compared, rounds

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
LEAST = 0.97
"""Below this share of the peer's speed, eager against eager, the script ends with an error."""
SAME = 1e-3
"""Greatest difference of logits over their greatest size at which two float32 networks count as the same."""


def peers() -> ModuleType:
    """Networks of torchvision, even where its compiled operators (which they do not use) fit another torch."""
    try:
        import torchvision.models
    except ModuleNotFoundError as error:
        raise SystemExit("torchvision is not here: make bench brings it; else put it on PYTHONPATH") from error
    except RuntimeError:  # its kernels want these two declared first
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        operators = torch.library.Library("torchvision", "DEF")
        operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision.models
    return torchvision.models


def pair(name: str) -> tuple[nn.Module, ImageModel]:
    """The peer's network and ours, with the same weights."""
    torch.manual_seed(0)
    peer = getattr(peers(), name)(weights=None)
    ours = REGISTRY.get(name).create()
    load_state_dict(ours, peer.state_dict(), source="torchvision")
    return peer, ours


def difference(got: Tensor, want: Tensor) -> float:
    """Greatest difference over the greatest size of what is wanted."""
    return float((got - want).abs().max() / want.abs().max())


def laid_out(model: nn.Module, layout: torch.memory_format) -> nn.Module:
    """A copy with its kernels in `layout`; turned in place, they would be so for every other turn too."""
    return copy.deepcopy(model).to(memory_format=layout)  # pyright: ignore[reportCallIssue]


def forward_turn(model: nn.Module, images: Tensor) -> Turn:
    """One forward pass in evaluation, without gradients."""
    model.eval()

    def turn() -> Tensor:
        with torch.inference_mode():
            return model(images)

    return turn


def step_turn(model: nn.Module, images: Tensor, labels: Tensor) -> Turn:
    """One step of training."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)

    def turn() -> None:
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return turn


def fast_turns(model: ImageModel, pixels: np.ndarray) -> dict[str, Turn]:
    """The ways in which the cached pass and `predict` run a network, as far as this machine has them."""
    batch, side = pixels.shape[:2]
    classifier = PixelNetwork(model, Preprocess(size=(side, side))).eval()
    folded = TorchEngine(classifier, batch, torch.device("cpu"))

    def bf16() -> np.ndarray:
        with torch.autocast("cpu", torch.bfloat16):
            return folded.run(pixels)

    turns: dict[str, Turn] = {"folded": lambda: folded.run(pixels), "folded, bf16": bf16}
    for label, low in (("OpenVINO", False), ("OpenVINO, bf16", True)):
        try:
            engine = OpenVinoEngine(classifier, batch, (side, side, 3), bf16=low)
        except EngineError as error:
            print(f"{label}: {error.message}")
            continue
        turns[label] = lambda engine=engine: engine.run(pixels)
    return turns


def forward_rows(
    peer: nn.Module, ours: ImageModel, pixels: np.ndarray, count: int, clock: Clock
) -> list[dict[str, Any]]:
    """Our forward pass in both layouts and on the fast ways, each against the peer's."""
    classifier = PixelNetwork(ours, Preprocess(size=(pixels.shape[1], pixels.shape[2])))
    floats = classifier.input(torch.from_numpy(pixels))
    want = forward_turn(peer, floats)()
    assert isinstance(want, Tensor)
    turns = fast_turns(ours, pixels)
    gaps = {path: difference(torch.as_tensor(np.asarray(turn())), want) for path, turn in turns.items()}
    for path, layout in LAYOUTS.items():
        x = floats.contiguous(memory_format=layout)
        for who, model in (("peer", peer), ("ours", ours)):
            turns[f"{who} {path}"] = forward_turn(laid_out(model, layout), x)
        got = turns[f"ours {path}"]()
        assert isinstance(got, Tensor)
        gaps[path] = difference(got, want)
        if gaps[path] > SAME:
            raise SystemExit(f"not the same network: logits differ by {gaps[path]:.1e} of their size ({path})")
    seconds = rounds({who: clocked(turn, clock) for who, turn in turns.items()}, count)
    fastest = min(LAYOUTS, key=lambda path: float(np.median(seconds[f"peer {path}"])))
    rows = []
    for path, gap in gaps.items():
        peer_s = seconds[f"peer {path if path in LAYOUTS else fastest}"]
        ours_s = seconds[f"ours {path}" if path in LAYOUTS else path]
        rows.append({"mode": "forward", "path": path, **compared(peer_s, ours_s), "difference": float(f"{gap:.1e}")})
    return sorted(rows, key=lambda row: row["path"] not in LAYOUTS)


def step_rows(
    peer: nn.Module, ours: ImageModel, batch: int, side: int, count: int, clock: Clock
) -> list[dict[str, Any]]:
    """Our training step in both layouts against the peer's."""
    x = torch.rand(batch, 3, side, side)
    labels = torch.arange(batch) % ours.classes
    rows = []
    for path, layout in LAYOUTS.items():
        turns = {
            who: step_turn(laid_out(model, layout), x.contiguous(memory_format=layout), labels)
            for who, model in (("peer", peer), ("ours", ours))
        }
        seconds = rounds({who: clocked(turn, clock) for who, turn in turns.items()}, count)
        rows.append({"mode": "step", "path": path, **compared(seconds["peer"], seconds["ours"])})
    return rows


def main() -> None:
    """Measure every network asked for; a row each way goes to results.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), metavar="NAME", help="torchvision's names")
    parser.add_argument("--pairs", type=int, default=21)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", type=int, default=224, help="height and width of the images, in pixels")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--modes", nargs="+", choices=("forward", "step"), default=["forward", "step"])
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count processor time; fairer beside other work, and then with one thread",
    )
    parser.add_argument("--dry", action="store_true", help="print the figures, and write none")
    asked = parser.parse_args()
    keep_freed_memory()  # for both alike: fresh pages cost a third of a step, and would drown the difference
    torch.set_num_threads(asked.threads)
    clock = clock_of(asked.cpu_time)
    pixels = np.random.default_rng(0).integers(0, 256, (asked.batch, asked.side, asked.side, 3), dtype=np.uint8)
    slow = []
    for name in asked.networks:
        peer, ours = pair(name)
        rows = forward_rows(peer, ours, pixels, asked.pairs, clock) if "forward" in asked.modes else []
        rows += step_rows(peer, ours, asked.batch, asked.side, asked.pairs, clock) if "step" in asked.modes else []
        facts = {"benchmark": "networks", "network": name, "peer": f"torchvision {version('torchvision')}"}
        more = {"batch": asked.batch, "side": asked.side, "pairs": asked.pairs, "threads": asked.threads}
        more |= {"clock": "processor" if asked.cpu_time else "wall"}
        more |= {"torch": torch.__version__, "machine": platform.machine()}
        for row in rows:
            print(
                f"{name:<16} {row['mode']:<8} {row['path']:<14} {row['peer_ms']:8.1f} ms {row['ms']:8.1f} ms "
                f"{row['ratio']:6.3f}  {row['low']:.3f} to {row['high']:.3f}  {row.get('difference', '')}",
                flush=True,
            )
            if row["path"] in LAYOUTS and row["ratio"] < LEAST:
                slow.append(f"{name} {row['mode']} {row['path']}: {row['ratio']:.3f}")
        if not asked.dry:
            with open(RESULTS, "a", encoding="utf-8") as results:
                results.writelines(json.dumps(facts | row | more) + "\n" for row in rows)
    if slow:
        raise SystemExit(f"below {LEAST} of the peer's speed: {'; '.join(slow)}")


if __name__ == "__main__":
    main()
