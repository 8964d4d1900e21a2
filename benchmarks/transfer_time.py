"""Time to a trained head: cached features against running the frozen backbone in every epoch.

The baseline loop decodes the images and runs the frozen network in eager PyTorch in each of ten epochs (one epoch is
timed and multiplied by ten). Striate decodes the images and runs the network once, on the fastest engine with the same
outputs, and trains the head on cached features. The network and the images are the same, in float32; a second
measurement uses bfloat16. The accuracy of the head is measured on held-out images.

    python benchmarks/transfer_time.py --network mobilenet_v2 --images 2000 --data FOLDER_OF_CLASSES
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from striate.core.events import NoProgress
from striate.core.memory import keep_freed_memory, spin_briefly
from striate.core.preprocess import Preprocess
from striate.data.digest import digests
from striate.data.index import ImageIndex, scan
from striate.models import REGISTRY, ImageModel
from striate.tasks.classify import probe
from striate.tasks.classify.task import Classification
from striate.transfer.features import FeatureExtractor
from striate.weights import open_model

EPOCHS = 10
RESULTS = Path(__file__).with_name("results.jsonl")


def decoded(index: ImageIndex, position: int, preprocess: Preprocess) -> torch.Tensor:
    """One image as the baseline loop prepares it: Pillow, then a normalised float tensor."""
    import io

    raw = index.read(position)
    assert isinstance(raw, bytes)
    image = Image.open(io.BytesIO(raw)).convert("RGB")
    short, side = preprocess.shorter_side, preprocess.size[0]
    width, height = image.size
    size = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    image = image.crop((left, top, left + side, top + side))
    pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float().div(255)
    mean, std = torch.tensor(preprocess.mean).view(3, 1, 1), torch.tensor(preprocess.std).view(3, 1, 1)
    return (pixels - mean) / std


@dataclass(frozen=True, kw_only=True)
class Data:
    """Labelled images, some to train on and some to measure accuracy on."""

    index: ImageIndex
    labels: np.ndarray
    classes: int
    train: np.ndarray
    held_out: np.ndarray


def baseline_epoch(
    data: Data, model: ImageModel, preprocess: Preprocess, head: torch.nn.Linear, optimizer: torch.optim.Optimizer
) -> float:
    """Seconds of one epoch of the baseline loop over the training images."""
    began = time.perf_counter()
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0)).numpy()
    for start in range(0, len(order), 32):
        positions = data.train[order[start : start + 32]]
        x = torch.stack([decoded(data.index, int(p), preprocess) for p in positions])
        with torch.no_grad():
            features = model.forward_head(model.forward_features(x), upto="pool")
        loss = F.cross_entropy(head(features), torch.from_numpy(data.labels[positions]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - began


def baseline_half(which: int) -> float:
    """Seconds of one half of the baseline epoch, in a new process."""
    command = [sys.executable, *sys.argv, "--baseline-half", str(which)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def cached(data: Data, extractor: FeatureExtractor) -> tuple[float, float, dict[str, float]]:
    """Seconds to a head trained on cached features, its accuracy on held-out images, and the parts of the time."""
    began = time.perf_counter()
    hashes = digests(data.index, NoProgress())
    features = extractor.extract(data.index, hashes, data.train, max_unreadable=0)
    layer, labels = extractor.model.stages[-1], data.labels[data.train]
    x = features.at(layer, data.train)
    extracted = time.perf_counter()
    choice = probe.cross_validate(x, labels, data.classes, seed=0)
    linear = probe.train_linear(x, labels, data.classes, choice.C)
    seconds = time.perf_counter() - began
    held_out = extractor.extract(data.index, hashes, data.held_out, max_unreadable=0)  # not timed
    predicted = linear.logits(held_out.at(layer, data.held_out)).argmax(1).numpy()
    top1, done = float((predicted == data.labels[data.held_out]).mean()), features.filled
    waiting = done.waited_s / done.seconds if done.computed else 0.0
    return seconds, top1, {"extraction_s": extracted - began, "waiting_fraction": waiting, "computed": done.computed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="mobilenet_v2")
    parser.add_argument("--weights", help="catalogue tag or file; default: random weights")
    parser.add_argument("--data", required=True)
    parser.add_argument("--images", type=int, default=2000, help="training images")
    parser.add_argument("--engine", default="auto", choices=["auto", "openvino", "openvino-bf16", "torch"])
    parser.add_argument("--baseline-half", type=int, choices=[0, 1], help="only time one half of the baseline epoch")
    options = parser.parse_args()
    if options.baseline_half is None:  # the baseline loop runs without our settings
        keep_freed_memory()
        spin_briefly()
    torch.manual_seed(0)
    index = scan(options.data)
    task, targets = Classification.read(index)
    order = np.random.default_rng(0).permutation(len(index))
    train, held = np.sort(order[: options.images]), np.sort(order[options.images : options.images + 400])
    if options.weights:
        opened = open_model(f"{options.network}:{options.weights}")
        model, preprocess, sha = opened.model, opened.preprocess, opened.sha256
    else:
        model, preprocess, sha = (
            REGISTRY.get(options.network).create().eval(),
            Preprocess(size=(224, 224), resize=256),
            "",
        )

    data = Data(index=index, labels=targets, classes=task.outputs, train=train, held_out=held)

    def extractor(home: str, engine: str) -> FeatureExtractor:
        return FeatureExtractor(
            name=options.network,
            model=model,
            preprocess=preprocess,
            weights_sha256=sha,
            cache=Path(home) / "features",
            engine=engine,  # pyright: ignore[reportArgumentType]
            device=torch.device("cpu"),
            fast=False,
            progress=NoProgress(),
        )

    row: dict[str, object] = {"benchmark": "transfer_time", "network": options.network, "images": len(train)}
    with tempfile.TemporaryDirectory() as home:
        os.environ["STRIATE_HOME"] = home
        if options.baseline_half is not None:
            head = torch.nn.Linear(model.head.logits_layer.in_features, data.classes)
            half = len(train) // 2
            data = replace(data, train=train[half:] if options.baseline_half else train[:half])
            print(baseline_epoch(data, model, preprocess, head, torch.optim.Adam(head.parameters(), lr=1e-3)))
            return
        # run between two halves of the baseline epoch, so that a drift of the machine affects both alike
        first = baseline_half(0)
        ours, top1, parts = cached(data, extractor(home, options.engine))
        again, _, _ = cached(data, extractor(home, options.engine))
        baseline = EPOCHS * (first + baseline_half(1))
        row |= {
            "baseline_s": baseline,
            "ours_s": ours,
            "ratio": baseline / ours,
            "cached_s": again,
            "cached_ratio": ours / again,
        }
        row |= {"top1": top1} | parts
    with tempfile.TemporaryDirectory() as home:
        os.environ["STRIATE_HOME"] = home
        bf16, bf16_top1, _ = cached(data, extractor(home, "openvino-bf16"))
        row |= {"bf16_s": bf16, "bf16_ratio": baseline / bf16, "bf16_top1": bf16_top1}
    print(json.dumps(row, indent=2))
    with RESULTS.open("a") as stream:
        stream.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
