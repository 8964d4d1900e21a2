"""Training speed: the step of `striate train` against a plain PyTorch loop, with our network and with timm's.

The step of Striate runs through `striate.training.loop.train`: uint8 images, normalised by the first layer of the
network, channels last, bfloat16, and everything that the loop does in every step (learning rates, keyed seeds,
statistics, checking the loss). The baseline is the loop of a tutorial: float32, contiguous, images already normalised.
It runs in a separate process with the default settings of the system, while the step of Striate uses those of
`core/memory.py`. `--tuned-baselines` gives the baseline these settings too, which shows how much of the ratio they
explain.

- `plain`: our network in the baseline loop.
- `timm`: timm's network with the same weights in the baseline loop. timm has no ResNet-20 for small images.
- `minimal`: our network, in the process of Striate, in the shortest loop that computes the same as ours (uint8 images,
  channels last, bfloat16). The time that the step of Striate takes beyond it is the overhead of the loop.

The baseline loop allocates its memory again in every step, and the cost grows with the batch: with ResNet-50 it takes
1.5 million page faults at batch size 32, and 5.8 million at 64, a third of its processor time. The ratios therefore
grow with the batch size, and the required ratios apply to the batch sizes of our recipes.

With `--cut`, the stages up to one are frozen, as in fine-tuning without a cache of feature maps: they run in evaluation
mode on an inference engine, autograd saves nothing of them, and only the stages above are trained. The baseline loop
still trains the whole network; `minimal` does not run.

All steps are interleaved: in every round each of them runs once, and the order of the references reverses from round to
round. A ratio is the median over the rounds of the reference's time over ours: above 1, Striate is faster. The 95 %
interval is from the bootstrap.

    PYTHONPATH=.peers python benchmarks/train_step.py --networks resnet50 mobilenet_v2 --pairs 21
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

import numpy as np

from striate.core.memory import keep_freed_memory, spin_briefly

if __name__ == "__main__":  # before torch is imported, as the command does; the references run in another process
    keep_freed_memory()
    spin_briefly()

import torch
import torch.nn.functional as F
from networks import difference, import_torchvision
from timing import Clock, Timed, Work, add_options, compare, in_subprocess, make_clock, timed
from torch import Tensor, nn

from striate.core.events import NoProgress
from striate.core.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from striate.data.source import PixelSource
from striate.models import REGISTRY, ImageModel
from striate.models.pixels import PixelNetwork
from striate.records.recipes import Augment, Recipe, Schedule
from striate.tasks.classify.loss import CrossEntropy
from striate.training.batches import BatchSource
from striate.training.loop import train
from striate.training.options import Hooks, TrainingOptions
from striate.transfer.frozen import FrozenStages, FrozenStageSource, TrainedStages
from striate.weights import load_state_dict

RESULTS = Path(__file__).with_name("results.jsonl")
TIMM = {"resnet50": "resnet50", "mobilenet_v2": "mobilenetv2_100"}
BATCH = 32
"""Batch size, as in the recipe `finetune`."""
BATCHES = {("resnet20_cifar", "-"): 128, ("resnet50", "-"): 64}
"""Other batch sizes by network and cut: that of the recipe `cifar_short`, and the micro-batch of `modern`."""
TOLERANCE = 1e-3
"""Maximum difference of the logits, relative to the largest logit, between equal float32 networks."""
LR = 1e-4
WARM_UP = 2
"""Number of untimed rounds."""
MIN_RATIOS = {
    ("resnet50", "-"): 2.8,
    ("mobilenet_v2", "-"): 2.0,
    ("resnet20_cifar", "-"): 1.6,
    ("resnet50", "stage3"): 5.0,
    ("resnet50", "stage4"): 8.0,
}
"""Required speed relative to the baseline loop, by network and cut; below it, the script exits with an error."""
MAX_OVERHEAD = 1.03
"""Maximum time of our step relative to the minimal loop."""


def plain_step(model: nn.Module, images: Tensor, labels: Tensor) -> Work:
    """One step of the baseline loop."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9, weight_decay=5e-4)

    def step() -> None:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()

    return step


def minimal_step(model: nn.Module, pixels: Tensor, labels: Tensor, precision: str) -> Work:
    """One step of the minimal loop: uint8 images and the precision of our step."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9, nesterov=True, weight_decay=5e-4)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = model(pixels)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return step


@final
class Interleaved(NoProgress):
    """A progress callback that runs one step of every reference between two steps of Striate.

    Args:
        references: The steps of the references; each returns its seconds.
        clock: A monotonic clock, in seconds.
    """

    def __init__(self, references: dict[str, Timed], clock: Clock) -> None:
        self.seconds: dict[str, list[float]] = {name: [] for name in ("ours", *references)}
        self._references, self._clock = references, clock
        self._began = clock()

    def step(self, done: int) -> None:
        """Record the time of our step, and run one step of every reference before the next."""
        self.seconds["ours"].append(self._clock() - self._began)
        for name in self._references if done % 2 else reversed(self._references):
            self.seconds[name].append(self._references[name]())
        self._began = self._clock()


# ---------------------------------------------------------------------- the references, in a separate process


def build_pair(name: str) -> tuple[ImageModel, nn.Module | None]:
    """Our network, and timm's with the same weights; None if timm does not have the network."""
    torch.manual_seed(0)
    model = REGISTRY.get(name).classifier()
    if name not in TIMM:
        return model, None
    import_torchvision()  # timm imports torchvision
    import timm

    reference = timm.create_model(TIMM[name], pretrained=False)
    load_state_dict(model, reference.state_dict(), source="timm")
    x = torch.rand(2, *REGISTRY.get(name).input)
    with torch.inference_mode():
        gap = difference(model.eval()(x), reference.eval()(x))
    if gap > TOLERANCE:
        raise SystemExit(f"the networks differ: relative difference of the logits {gap:.1e}")
    return model, reference


def reference_steps(name: str, batch: int) -> dict[str, Work]:
    """The steps of the references by name."""
    model, reference = build_pair(name)
    images, labels = torch.rand(batch, *REGISTRY.get(name).input), torch.arange(batch) % model.classes
    steps = {"plain": plain_step(model, images, labels)}
    return steps if reference is None else steps | {"timm": plain_step(reference, images, labels)}


# ---------------------------------------------------------------------- ours


def measure(name: str, cut: str | None, batch: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure one network. Returns a row for every reference."""
    clock = make_clock(options.cpu_time)
    model, _ = build_pair(name)
    preprocess = Preprocess(size=model_side(name), mean=IMAGENET_MEAN, std=IMAGENET_STD)
    pixels = np.random.default_rng(0).integers(0, 256, (batch, *preprocess.size, 3), dtype=np.uint8)
    labels = np.arange(batch) % model.classes
    module: nn.Module = PixelNetwork(model, preprocess)
    module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    source: BatchSource = PixelSource(pixels, labels, Augment(), seed=0)
    recipe = Recipe(lr=LR, batch=batch, steps=options.pairs + WARM_UP, schedule=Schedule(kind="constant"))
    how = {"threads": options.threads, "cpu_time": options.cpu_time, "keep_memory": options.tuned_baselines}
    with in_subprocess(reference_steps, name, batch, **how) as references:
        if cut is None:
            minimal = minimal_step(
                copy.deepcopy(module), torch.from_numpy(pixels), torch.from_numpy(labels), options.precision
            )
            references["minimal"] = timed(minimal, clock)
        else:
            engine = "openvino-bf16" if options.precision == "bf16" else "auto"
            model.freeze(cut, fixed_statistics=True)
            frozen = FrozenStages(model, preprocess, cut, pixels, engine, torch.device("cpu"), NoProgress())
            source = FrozenStageSource(source, frozen.engine(batch, batch * recipe.epochs))
            module = TrainedStages(model, cut)
        rounds = Interleaved(references, clock)
        train(
            module,
            source,
            recipe,
            TrainingOptions(seed=0, precision=options.precision, compiled=options.compile),
            hooks=Hooks(progress=rounds),
            loss=CrossEntropy(label_smoothing=recipe.label_smoothing),
        )
    seconds = {who: np.array(each[WARM_UP:]) for who, each in rounds.seconds.items()}
    per_s = round(float(batch / np.median(seconds["ours"])), 2)
    return [{"against": who, **compare(seconds[who], seconds["ours"]), "per_s": per_s} for who in references]


def model_side(name: str) -> tuple[int, int]:
    """Height and width of the default input of a network."""
    _, height, width = REGISTRY.get(name).input
    return height, width


def failures(rows: Sequence[dict[str, Any]]) -> list[str]:
    """List the results that miss their required ratio."""
    found = []
    for row in rows:
        if row["tuned_baselines"]:
            continue
        setting = row["network"], row["cut"]
        counts = (
            row["against"] == "plain" and row["precision"] == "bf16" and row["batch"] == BATCHES.get(setting, BATCH)
        )
        required = MIN_RATIOS.get(setting) if counts else None
        if required is not None and row["ratio"] < required:
            found.append(f"{row['network']} (cut {row['cut']}) {row['ratio']:.2f} of {required}")
        if row["against"] == "minimal" and 1 / row["ratio"] > MAX_OVERHEAD:
            found.append(f"{row['network']} takes {1 / row['ratio']:.3f} of the minimal step, above {MAX_OVERHEAD}")
    return found


def main() -> None:
    """Measure every network and cut, and append a row per reference to results.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["resnet50", "mobilenet_v2", "resnet20_cifar"], metavar="NAME")
    parser.add_argument(
        "--cut",
        nargs="+",
        default=["-"],
        metavar="STAGE",
        help="last frozen stages, one measurement each; - freezes none",
    )
    parser.add_argument("--batch", type=int, help="batch size; default: that of the recipe")
    parser.add_argument("--precision", choices=("bf16", "float32"), default="bf16")
    parser.add_argument("--compile", action="store_true", help="compile our network with torch.compile")
    parser.add_argument("--tuned-baselines", action="store_true", help="give the baselines our memory settings")
    add_options(parser, torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    all_rows = []
    for name in options.networks:
        for cut in options.cut:
            batch = options.batch or BATCHES.get((name, cut), BATCH)
            rows = measure(name, None if cut == "-" else cut, batch, options)
            facts = {"benchmark": "train_step", "network": name, "cut": cut, "precision": options.precision}
            more = {"compiled": options.compile, "batch": batch, "side": model_side(name)[0], "pairs": options.pairs}
            more |= {"tuned_baselines": options.tuned_baselines}
            more |= {"threads": options.threads, "clock": "processor" if options.cpu_time else "wall"}
            more |= {"torch": torch.__version__, "machine": platform.machine()}
            for row in rows:
                reference = f"timm {version('timm')}" if row["against"] == "timm" else "PyTorch"
                all_rows.append(facts | row | {"reference": reference} | more)
                print(
                    f"{name:<16} cut {cut:<8} against {row['against']:<7} {row['reference_ms']:8.1f} ms "
                    f"{row['ms']:8.1f} ms {row['ratio']:6.3f}  {row['low']:.3f} to {row['high']:.3f}  "
                    f"{row['per_s']:.1f} images/s",
                    flush=True,
                )
    if not options.dry:
        with open(RESULTS, "a", encoding="utf-8") as results:
            results.writelines(json.dumps(row) + "\n" for row in all_rows)
    missed = failures(all_rows)
    if missed:
        raise SystemExit("; ".join(missed))


if __name__ == "__main__":
    main()
