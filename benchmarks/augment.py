"""Speed of augmentation, against torchvision's transforms and kornia's, and relative to a training step.

All implementations take the same batch of uint8 images and return a batch. Ours is `data.augment` and `data.mix`, as
training calls them. torchvision's transforms draw once per call, so they run image by image, and the results are
stacked as in a data loader; a second measurement shares this work among several threads. kornia takes the whole batch
as floats. Every reference runs in a separate process with our memory settings, because the threads of other libraries
in the same process slow PyTorch down. The ratio is the time of the fastest reference over ours: above 1, Striate is
faster. Normalisation is not included.

Augmentations with the same name are not equal to the pixel: ours rotates hues linearly, and translates by fractions of
a pixel in `cifar_short`. kornia's RandAugment draws one policy for the whole batch, while the paper draws one per
image; its speed is shown but does not count. Neither reference has PCA lighting: for torchvision it is written here in
the usual form.

The last rows compare the cost of two recipes with a training step of the network that they train, as `striate train`
runs it (channels last, bfloat16).

    PYTHONPATH=.peers python benchmarks/augment.py
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from striate.core.memory import keep_freed_memory, spin_briefly

if __name__ == "__main__":  # before torch is imported, as the command does; the references run in other processes
    keep_freed_memory()
    spin_briefly()

import torch
from networks import import_torchvision
from timing import Clock, Timed, Work, add_options, compare, in_subprocess, interleave, make_clock, timed
from torch import Tensor, nn

from striate.core.preprocess import Preprocess
from striate.data.augment import augment
from striate.data.mix import mix
from striate.models import REGISTRY
from striate.models.pixels import PixelNetwork
from striate.records.recipes import Augment, recipe
from striate.tasks.classify.loss import CrossEntropy
from striate.training import optim
from striate.training.objective import Objective

RESULTS = Path(__file__).with_name("results.jsonl")
CLASSES = 1000
BEFORE_S = 0.03
STEPS = {"modern": ("mobilenet_v2", 224, 32, 0.15), "cifar_short": ("resnet20_cifar", 32, 128, 0.05)}
"""By recipe: the network, the side of the images, the batch size, and the maximum fraction of a step."""

OURS = {
    "translate, flip": Augment(flip=True, pad=0.125),
    "random resized crop": Augment(crop_scale=(0.08, 1.0)),
    "colour jitter": Augment(brightness=0.4, contrast=0.4, saturation=0.4),
    "colour jitter with hue": Augment(brightness=0.4, contrast=0.4, saturation=0.4, hue=36),
    "PCA lighting": Augment(pca_lighting=0.1),
    "RandAugment": Augment(rand_augment=(2, 9)),
    "random erasing": Augment(random_erasing=0.25),
    "mixup": Augment(mixup=0.2),
    "CutMix": Augment(cutmix=1.0),
    "modern": recipe("modern").augment,
    "cifar_short": recipe("cifar_short").augment,
}
NOT_COMPARABLE = {("kornia", "RandAugment"), ("kornia", "modern")}
"""References that do less work; their speed does not count."""


class Lighting(nn.Module):
    """The PCA noise of Krizhevsky et al. 2012, section 4.1, in the usual form for a single image."""

    values = torch.tensor([0.2175, 0.0188, 0.0045])
    vectors = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])

    def forward(self, x: Tensor) -> Tensor:
        """Add the noise to one uint8 image, ``[3, h, w]``."""
        alpha = torch.randn(3) * 0.1
        shift = (self.vectors * alpha * self.values).sum(1).view(3, 1, 1)
        return (x.float().div(255) + shift).clamp(0, 1).mul(255).to(torch.uint8)


def ours(name: str, pixels: Tensor, labels: Tensor) -> Work:
    """Our augmentation. Every call is another epoch, so that it draws other values."""
    spec, samples, epoch = OURS[name], np.arange(len(pixels)), iter(range(1 << 30))

    def work() -> object:
        now = next(epoch)
        augmented = augment(pixels, spec, seed=0, epoch=now, samples=samples)
        if not (spec.mixup or spec.cutmix):
            return augmented
        return mix(augmented, labels, spec, classes=CLASSES, seed=0, epoch=now, samples=samples)

    return work


def torchvision_works(name: str, side: int, batch: int, threads: int) -> dict[str, Work]:
    """Torchvision's transforms, image by image, in one or several threads. MixUp and CutMix take the stacked batch."""
    import_torchvision()
    from torchvision.transforms import v2

    pixels, labels = images(side, batch)
    translate = [v2.RandomCrop(side, padding=side // 8, padding_mode="edge"), v2.RandomHorizontalFlip()]
    cut = v2.RandomResizedCrop(side, antialias=True)
    mixup, cutmix = v2.MixUp(alpha=0.2, num_classes=CLASSES), v2.CutMix(alpha=1.0, num_classes=CLASSES)
    either = v2.RandomChoice([v2.MixUp(alpha=0.8, num_classes=CLASSES), cutmix])
    modern = [cut, v2.RandomHorizontalFlip(), v2.RandAugment(2, 9), v2.RandomErasing(0.25)]
    singly, together = {
        "translate, flip": (translate, None),
        "random resized crop": ([cut], None),
        "colour jitter": ([v2.ColorJitter(0.4, 0.4, 0.4)], None),
        "colour jitter with hue": ([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], None),
        "PCA lighting": ([Lighting()], None),
        "RandAugment": ([v2.RandAugment(2, 9)], None),
        "random erasing": ([v2.RandomErasing(0.25)], None),
        "mixup": ([], mixup),
        "CutMix": ([], cutmix),
        "modern": (modern, either),
        "cifar_short": (translate, None),
    }[name]
    each = v2.Compose(singly) if singly else None
    planes = pixels.permute(0, 3, 1, 2)  # a view, like a decoded image; the transforms are fastest on it

    def apply(part: Sequence[Tensor]) -> list[Tensor]:
        assert each is not None
        return [each(x) for x in part]

    def whole(batch: Tensor) -> object:
        return batch if together is None else together(batch.float(), labels)

    if each is None:
        return {"torchvision": lambda: whole(planes)}
    if threads == 1:
        return {"torchvision": lambda: whole(torch.stack(apply(list(planes))))}
    pool = ThreadPoolExecutor(threads)

    def threaded() -> object:
        parts = pool.map(apply, [planes[first::threads] for first in range(threads)])
        return whole(torch.stack([x for part in parts for x in part]))

    return {"torchvision, threads": threaded}


def kornia_works(name: str, side: int, batch: int) -> dict[str, Work]:
    """Kornia's augmentations of the whole batch, as floats from 0 to 1."""
    import kornia.augmentation as K

    pixels, _ = images(side, batch)
    translate = [K.RandomCrop((side, side), padding=side // 8, padding_mode="replicate"), K.RandomHorizontalFlip()]
    cut = K.RandomResizedCrop((side, side), scale=(0.08, 1.0))
    policy, erasing = K.auto.RandAugment(n=2, m=9), K.RandomErasing(p=0.25)
    mixes = {"mixup": [K.RandomMixUpV2(p=1.0)], "CutMix": [K.RandomCutMixV2(p=1.0, use_correct_lambda=True)]}
    mixes["modern"] = [*mixes["mixup"], *mixes["CutMix"]]
    parts: list[Any] = {
        "translate, flip": translate,
        "random resized crop": [cut],
        "colour jitter": [K.ColorJiggle(0.4, 0.4, 0.4, p=1.0)],
        "colour jitter with hue": [K.ColorJiggle(0.4, 0.4, 0.4, 0.1, p=1.0)],
        "PCA lighting": [],
        "RandAugment": [policy],
        "random erasing": [erasing],
        "mixup": [],
        "CutMix": [],
        "modern": [cut, K.RandomHorizontalFlip(), policy, erasing],
        "cifar_short": translate,
    }[name]
    pair, coin = mixes.get(name, []), np.random.default_rng(0)

    def work() -> object:
        x = pixels.permute(0, 3, 1, 2).contiguous().float().div_(255)
        for part in parts:
            x = part(x)
        if not pair:
            return x
        return pair[int(coin.integers(len(pair)))](x)  # the labels are not mixed

    return {"kornia": work}


def step_work(network: str, pixels: Tensor) -> Work:
    """A training step as the loop runs it, without augmentation."""
    entry, method = REGISTRY.get(network), recipe("cifar_short")
    model = entry.classifier(classes=CLASSES)
    module = PixelNetwork(model, Preprocess(size=(pixels.shape[1], pixels.shape[2])))
    module = module.to(memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
    loss = CrossEntropy(label_smoothing=method.label_smoothing)
    objective, optimizer = Objective(module, loss, precision="bf16"), optim.make(module, method)
    labels = torch.arange(len(pixels)) % CLASSES

    def work() -> None:
        optimizer.zero_grad(set_to_none=True)
        objective(pixels, labels).backward()
        optimizer.step()

    return work


def images(side: int, batch: int) -> tuple[Tensor, Tensor]:
    """Smooth random images and labels. On pure noise, lookup tables would take another time than on photos."""
    small = np.random.default_rng(0).integers(0, 256, (batch, max(2, side // 8), max(2, side // 8), 3), dtype=np.uint8)
    large = nn.functional.interpolate(
        torch.from_numpy(small).permute(0, 3, 1, 2).float(), size=(side, side), mode="bicubic"
    )
    return large.clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous(), torch.arange(batch) % CLASSES


def against_references(name: str, side: int, batch: int, options: argparse.Namespace) -> dict[str, Any]:
    """Our augmentation against the fastest reference."""
    how = {"threads": options.threads, "cpu_time": options.cpu_time, "keep_memory": True, "before_s": BEFORE_S}
    works: dict[str, Timed] = {
        "ours": timed(ours(name, *images(side, batch)), make_clock(options.cpu_time), before_s=BEFORE_S)
    }
    with ExitStack() as running:
        for threads in sorted({1, options.threads}):
            works |= running.enter_context(in_subprocess(torchvision_works, name, side, batch, threads, **how))
        if name != "PCA lighting":
            works |= running.enter_context(in_subprocess(kornia_works, name, side, batch, **how))
        seconds = interleave(works, options.pairs)
    medians = {who: float(np.median(each)) for who, each in seconds.items()}
    comparable = [who for who in medians if who != "ours" and (who, name) not in NOT_COMPARABLE]
    best = min(comparable, key=lambda who: medians[who])
    rates = {f"{who} /s": round(batch / s, 1) for who, s in medians.items()}
    return {"what": name, "best": best, **compare(seconds[best], seconds["ours"]), "rates": rates}


def against_step(name: str, pairs: int, clock: Clock) -> dict[str, Any]:
    """The augmentation of a recipe as a fraction of a training step."""
    network, side, batch, max_fraction = STEPS[name]
    pixels, labels = images(side, batch)
    works = {"step": step_work(network, pixels), "ours": ours(name, pixels, labels)}
    seconds = interleave({who: timed(work, clock) for who, work in works.items()}, pairs)
    row = compare(seconds["ours"], seconds["step"])
    return {
        "what": name,
        "network": network,
        "ms": row["reference_ms"],
        "step_ms": row["ms"],
        "max_fraction": max_fraction,
    } | {key: row[key] for key in ("ratio", "low", "high")}


def main() -> None:
    """Measure every augmentation, and append a row each to results.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(OURS), default=list(OURS), metavar="NAME")
    parser.add_argument("--sides", nargs="+", type=int, default=[224, 32], help="sides of the images, in pixels")
    add_options(parser, torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    clock = make_clock(options.cpu_time)
    more = {"pairs": options.pairs, "threads": options.threads, "clock": "processor" if options.cpu_time else "wall"}
    more |= {"torch": torch.__version__, "machine": platform.machine()}
    more |= {"references": f"torchvision {version('torchvision')}, kornia {version('kornia')}"}
    rows, slow = [], []
    for side in options.sides:
        batch = 32 if side > 64 else 128
        for name in options.only:
            if name in STEPS and STEPS[name][1] != side:
                continue
            row = {"benchmark": "augment", "side": side, "batch": batch}
            row |= against_references(name, side, batch, options)
            rates = "  ".join(f"{who} {rate:,.0f}" for who, rate in row["rates"].items())
            print(
                f"{side:>4} {name:<24}{row['ratio']:6.2f} ({row['low']:.2f} to {row['high']:.2f})  {rates}", flush=True
            )
            rows.append(row)
            if row["high"] < 1:
                slow.append(f"{name} at {side} px: {row['ratio']:.2f} of {row['best']}")
    for name in (name for name in STEPS if name in options.only):
        row = {"benchmark": "augment_fraction"} | against_step(name, options.pairs, clock)
        print(
            f"{name} with {row['network']}: {row['ms']:.1f} ms of augmentation, {row['step_ms']:.1f} ms per step, "
            f"fraction {100 * row['ratio']:.1f} % ({100 * row['low']:.1f} to {100 * row['high']:.1f})",
            flush=True,
        )
        rows.append(row)
        if row["low"] > row["max_fraction"]:
            slow.append(f"{name}: {100 * row['ratio']:.1f} % of a step")
    if not options.dry:
        with open(RESULTS, "a", encoding="utf-8") as results:
            results.writelines(json.dumps(row | more) + "\n" for row in rows)
    if slow:
        raise SystemExit(f"too slow: {'; '.join(slow)}")


if __name__ == "__main__":
    main()
