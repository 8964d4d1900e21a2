"""What does varying images cost? Ours against torchvision's transforms and kornia's, and against a step of training.

Every turn takes the same batch of bytes and gives a batch. Ours is `data.augment` and `data.mix`, as training calls
them. Torchvision's transforms draw once a call, so they go over the images one by one, and the results are stacked,
as a data loader does; in a turn of its own several threads share that work. Kornia takes the whole batch as floats.
Every peer has a process of its own, with the system's defaults and our settings of memory, and ours has those of
`core/memory.py`: beside other threads that use PyTorch, each of its operations waits longer for its threads. The ratio
is the time of the fastest of these over ours, so above 1 is faster; nobody has to normalise. What is named alike
is not the same to the pixel: ours turns hues linearly, and shifts by parts of a pixel in `cifar_short`. Kornia's
RandAugment draws one policy for the whole batch where the paper draws for each image, so its rate is shown and does
not count. PCA lighting, which neither peer has, is written out for torchvision as it is usually pasted.

The last rows set the cost of the two recipes beside a step of the network that they train, run as `striate train` runs
it (channels last, bfloat16 arithmetic).

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

if __name__ == "__main__":  # before torch is loaded, as the command does; the peers' processes are not this one
    keep_freed_memory()
    spin_briefly()

import torch
from networks import peers
from torch import Tensor, nn
from turns import Clock, Timed, Turn, apart, clock_of, clocked, compared, rounds

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
"""The network that a recipe is set beside, the side of its images, their number, and the share that is allowed."""

OURS = {
    "shift, flip": Augment(flip=True, pad=0.125),
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
NOT_ALIKE = {("kornia", "RandAugment"), ("kornia", "modern")}
"""Does less, and is no measure."""


class Lighting(nn.Module):
    """The noise of Krizhevsky et al. 2012, section 4.1, as it is usually written for one image."""

    values = torch.tensor([0.2175, 0.0188, 0.0045])
    vectors = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])

    def forward(self, x: Tensor) -> Tensor:
        """Of one image's bytes."""
        alpha = torch.randn(3) * 0.1
        shift = (self.vectors * alpha * self.values).sum(1).view(3, 1, 1)
        return (x.float().div(255) + shift).clamp(0, 1).mul(255).to(torch.uint8)


def ours(name: str, pixels: Tensor, labels: Tensor) -> Turn:
    """Another epoch at each call, so that other values are drawn."""
    spec, samples, epoch = OURS[name], np.arange(len(pixels)), iter(range(1 << 30))

    def turn() -> object:
        now = next(epoch)
        varied = augment(pixels, spec, seed=0, epoch=now, samples=samples)
        if not (spec.mixup or spec.cutmix):
            return varied
        return mix(varied, labels, spec, classes=CLASSES, seed=0, epoch=now, samples=samples)

    return turn


def torchvision_turns(name: str, side: int, batch: int, threads: int) -> dict[str, Turn]:
    """An image at a time, in one thread or in several; what mixes takes the stacked batch."""
    peers()
    from torchvision.transforms import v2

    pixels, labels = images(side, batch)
    shift = [v2.RandomCrop(side, padding=side // 8, padding_mode="edge"), v2.RandomHorizontalFlip()]
    cut = v2.RandomResizedCrop(side, antialias=True)
    mixup, cutmix = v2.MixUp(alpha=0.2, num_classes=CLASSES), v2.CutMix(alpha=1.0, num_classes=CLASSES)
    either = v2.RandomChoice([v2.MixUp(alpha=0.8, num_classes=CLASSES), cutmix])
    modern = [cut, v2.RandomHorizontalFlip(), v2.RandAugment(2, 9), v2.RandomErasing(0.25)]
    singly, together = {
        "shift, flip": (shift, None),
        "random resized crop": ([cut], None),
        "colour jitter": ([v2.ColorJitter(0.4, 0.4, 0.4)], None),
        "colour jitter with hue": ([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], None),
        "PCA lighting": ([Lighting()], None),
        "RandAugment": ([v2.RandAugment(2, 9)], None),
        "random erasing": ([v2.RandomErasing(0.25)], None),
        "mixup": ([], mixup),
        "CutMix": ([], cutmix),
        "modern": (modern, either),
        "cifar_short": (shift, None),
    }[name]
    each = v2.Compose(singly) if singly else None
    planes = pixels.permute(0, 3, 1, 2)  # a view: what a decoded image is, and what these transforms are fastest on

    def predict_batches(part: Sequence[Tensor]) -> list[Tensor]:
        assert each is not None
        return [each(x) for x in part]

    def whole(batch: Tensor) -> object:
        return batch if together is None else together(batch.float(), labels)

    if each is None:
        return {"torchvision": lambda: whole(planes)}
    if threads == 1:
        return {"torchvision": lambda: whole(torch.stack(predict_batches(list(planes))))}
    pool = ThreadPoolExecutor(threads)

    def threaded() -> object:
        parts = pool.map(predict_batches, [planes[first::threads] for first in range(threads)])
        return whole(torch.stack([x for part in parts for x in part]))

    return {"torchvision, threads": threaded}


def kornia_turns(name: str, side: int, batch: int) -> dict[str, Turn]:
    """The whole batch, as floats from 0 to 1."""
    import kornia.augmentation as K

    pixels, _ = images(side, batch)
    shift = [K.RandomCrop((side, side), padding=side // 8, padding_mode="replicate"), K.RandomHorizontalFlip()]
    cut = K.RandomResizedCrop((side, side), scale=(0.08, 1.0))
    policy, erasing = K.auto.RandAugment(n=2, m=9), K.RandomErasing(p=0.25)
    mixes = {"mixup": [K.RandomMixUpV2(p=1.0)], "CutMix": [K.RandomCutMixV2(p=1.0, use_correct_lambda=True)]}
    mixes["modern"] = [*mixes["mixup"], *mixes["CutMix"]]
    parts: list[Any] = {
        "shift, flip": shift,
        "random resized crop": [cut],
        "colour jitter": [K.ColorJiggle(0.4, 0.4, 0.4, p=1.0)],
        "colour jitter with hue": [K.ColorJiggle(0.4, 0.4, 0.4, 0.1, p=1.0)],
        "PCA lighting": [],
        "RandAugment": [policy],
        "random erasing": [erasing],
        "mixup": [],
        "CutMix": [],
        "modern": [cut, K.RandomHorizontalFlip(), policy, erasing],
        "cifar_short": shift,
    }[name]
    pair, coin = mixes.get(name, []), np.random.default_rng(0)

    def turn() -> object:
        x = pixels.permute(0, 3, 1, 2).contiguous().float().div_(255)
        for part in parts:
            x = part(x)
        if not pair:
            return x
        return pair[int(coin.integers(len(pair)))](x)  # mixes no labels

    return {"kornia": turn}


def step_turn(network: str, pixels: Tensor) -> Turn:
    """A step as the loop takes it, without what varies the images."""
    entry, method = REGISTRY.get(network), recipe("cifar_short")
    model = entry.classifier(classes=CLASSES)
    module = PixelNetwork(model, Preprocess(size=(pixels.shape[1], pixels.shape[2])))
    module = module.to(memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
    loss = CrossEntropy(label_smoothing=method.label_smoothing)
    objective, optimizer = Objective(module, loss, precision="bf16"), optim.make(module, method)
    labels = torch.arange(len(pixels)) % CLASSES

    def turn() -> None:
        optimizer.zero_grad(set_to_none=True)
        objective(pixels, labels).backward()
        optimizer.step()

    return turn


def images(side: int, batch: int) -> tuple[Tensor, Tensor]:
    """Smooth random images, and labels: on pure noise a crop would be as dear, but a table of values would not."""
    small = np.random.default_rng(0).integers(0, 256, (batch, max(2, side // 8), max(2, side // 8), 3), dtype=np.uint8)
    large = nn.functional.interpolate(
        torch.from_numpy(small).permute(0, 3, 1, 2).float(), size=(side, side), mode="bicubic"
    )
    return large.clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous(), torch.arange(batch) % CLASSES


def against_peers(name: str, side: int, batch: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Ours against the fastest of the peers' ways."""
    how = {"threads": asked.threads, "cpu_time": asked.cpu_time, "keep_memory": True, "before_s": BEFORE_S}
    turns: dict[str, Timed] = {
        "ours": clocked(ours(name, *images(side, batch)), clock_of(asked.cpu_time), before_s=BEFORE_S)
    }
    with ExitStack() as running:
        for threads in sorted({1, asked.threads}):
            turns |= running.enter_context(apart(torchvision_turns, name, side, batch, threads, **how))
        if name != "PCA lighting":
            turns |= running.enter_context(apart(kornia_turns, name, side, batch, **how))
        seconds = rounds(turns, asked.pairs)
    medians = {who: float(np.median(each)) for who, each in seconds.items()}
    count = [who for who in medians if who != "ours" and (who, name) not in NOT_ALIKE]
    best = min(count, key=lambda who: medians[who])
    rates = {f"{who} /s": round(batch / s, 1) for who, s in medians.items()}
    return {"what": name, "best": best, **compared(seconds[best], seconds["ours"]), "rates": rates}


def against_step(name: str, pairs: int, clock: Clock) -> dict[str, Any]:
    """A recipe's augmentation as a share of a step."""
    network, side, batch, most = STEPS[name]
    pixels, labels = images(side, batch)
    turns = {"step": step_turn(network, pixels), "ours": ours(name, pixels, labels)}
    seconds = rounds({who: clocked(turn, clock) for who, turn in turns.items()}, pairs)
    row = compared(seconds["ours"], seconds["step"])
    return {"what": name, "network": network, "ms": row["peer_ms"], "step_ms": row["ms"], "most": most} | {
        key: row[key] for key in ("ratio", "low", "high")
    }


def main() -> None:
    """Measure; a row each goes to results.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(OURS), default=list(OURS), metavar="NAME")
    parser.add_argument("--sides", nargs="+", type=int, default=[224, 32], help="of the images, in pixels")
    parser.add_argument("--pairs", type=int, default=21)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count processor time; fairer beside other work, and then with one thread",
    )
    parser.add_argument("--dry", action="store_true", help="print the figures, and write none")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    clock = clock_of(asked.cpu_time)
    more = {"pairs": asked.pairs, "threads": asked.threads, "clock": "processor" if asked.cpu_time else "wall"}
    more |= {"torch": torch.__version__, "machine": platform.machine()}
    more |= {"peers": f"torchvision {version('torchvision')}, kornia {version('kornia')}"}
    rows, slow = [], []
    for side in asked.sides:
        batch = 32 if side > 64 else 128
        for name in asked.only:
            if name in STEPS and STEPS[name][1] != side:
                continue
            row = {"benchmark": "augment", "side": side, "batch": batch}
            row |= against_peers(name, side, batch, asked)
            rates = "  ".join(f"{who} {rate:,.0f}" for who, rate in row["rates"].items())
            print(
                f"{side:>4} {name:<24}{row['ratio']:6.2f} ({row['low']:.2f} to {row['high']:.2f})  {rates}", flush=True
            )
            rows.append(row)
            if row["high"] < 1:
                slow.append(f"{name} at {side} px: {row['ratio']:.2f} of {row['best']}")
    for name in (name for name in STEPS if name in asked.only):
        row = {"benchmark": "augment_share"} | against_step(name, asked.pairs, clock)
        print(
            f"{name} beside {row['network']}: {row['ms']:.1f} ms of augmentation, {row['step_ms']:.1f} ms of step, "
            f"share {100 * row['ratio']:.1f} % ({100 * row['low']:.1f} to {100 * row['high']:.1f})",
            flush=True,
        )
        rows.append(row)
        if row["low"] > row["most"]:
            slow.append(f"{name}: {100 * row['ratio']:.1f} % of a step")
    if not asked.dry:
        with open(RESULTS, "a", encoding="utf-8") as results:
            results.writelines(json.dumps(row | more) + "\n" for row in rows)
    if slow:
        raise SystemExit(f"too slow: {'; '.join(slow)}")


if __name__ == "__main__":
    main()
