"""How fast does `striate` train? Its step against a plain PyTorch loop, over the same network and over timm's.

Ours runs through `striate.training.loop.train` itself: bytes in, normalised by the network's own first layer, channels
last, bfloat16 arithmetic, and around it whatever the loop does in every step (rates, keyed seeds, statistics, a look at
the loss). The plain loop is that of a tutorial: float32, contiguous, images already normalised. It runs as people run
it, in a process of its own with the system's defaults, while ours has those of `core/memory.py`; `--tuned-peers` gives
it ours too, which shows how much of the ratio is theirs.

- `plain`: our network in the plain loop.
- `timm`: timm's network with the same weights in the plain loop; it has no ResNet-20 for small images.
- `bare`: our network, in our process, in the least loop that computes the same as ours (bytes, channels last,
  bfloat16); what the step takes beyond it is the loop's own.

The plain loop takes memory anew from the system in every step, the more the larger the batch: with ResNet-50 1.5
million pages at 32 images a step, and 5.8 million at 64, a third of its processor time. So ratios grow with the
batch, and what is asked for is asked for at the batches of our recipes.

With `--cut` the stages up to one are frozen, as fine-tuning does it where maps are not kept on disk: they run in
evaluation mode on the engine of the cached pass, no gradient or activation of theirs is kept, and what is above is
trained. The plain loop still trains all; `bare` does not run.

Turns are interleaved: in every round each runs once, one at a time, the order of the peers reversed from round to
round. A ratio is the median over the rounds of the peer's time over ours, so above 1 is faster than the peer, with a
95 % interval from the bootstrap.

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

if __name__ == "__main__":  # before torch is loaded, as the command does; the peers' process is not this one
    keep_freed_memory()
    spin_briefly()

import torch
import torch.nn.functional as F
from networks import difference, peers
from torch import Tensor, nn
from turns import Clock, Timed, Turn, apart, clock_of, clocked, compared

from striate.core.events import NoProgress
from striate.core.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from striate.models import REGISTRY, ImageModel
from striate.models.pixels import PixelNetwork
from striate.records.recipes import Augment, Recipe, Schedule
from striate.tasks.classify.loss import CrossEntropy
from striate.tasks.classify.source import PixelSource
from striate.training.batches import BatchSource
from striate.training.loop import train
from striate.transfer.finetune import Frozen, FrozenStageSource
from striate.weights import load_state_dict

RESULTS = Path(__file__).with_name("results.jsonl")
TIMM = {"resnet50": "resnet50", "mobilenet_v2": "mobilenetv2_100"}
BATCH = 32
"""Images a step, as in the recipe `finetune`."""
BATCHES = {("resnet20_cifar", "-"): 128, ("resnet50", "-"): 64}
"""Other batches by network and cut: that of the recipe `cifar_short`, and a group of `modern`."""
SAME = 1e-3
"""Greatest difference of logits over their greatest size at which two float32 networks count as the same."""
RATE = 1e-4
WARM_UP = 2
"""Rounds that do not count."""
LEAST = {
    ("resnet50", "-"): 2.8,
    ("mobilenet_v2", "-"): 2.0,
    ("resnet20_cifar", "-"): 1.6,
    ("resnet50", "stage3"): 5.0,
    ("resnet50", "stage4"): 8.0,
}
"""Times the speed of the plain loop, by network and cut; below it at its own batch the script ends with an error."""
MOST_OVERHEAD = 1.03


def plain_turn(model: nn.Module, images: Tensor, labels: Tensor) -> Turn:
    """One step of a tutorial's loop."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4)

    def turn() -> None:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()

    return turn


def bare_turn(model: nn.Module, pixels: Tensor, labels: Tensor, precision: str) -> Turn:
    """The same from bytes and in our step's precision."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, nesterov=True, weight_decay=5e-4)

    def turn() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = model(pixels)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return turn


@final
class Interleaved(NoProgress):
    """Hears of our loop's steps, and lets every peer take one between two of them.

    Args:
        turns: The peers' steps; each gives its seconds.
        clock: Seconds that only rise.
    """

    def __init__(self, turns: dict[str, Timed], clock: Clock) -> None:
        self.seconds: dict[str, list[float]] = {name: [] for name in ("ours", *turns)}
        self._turns, self._clock = turns, clock
        self._began = clock()

    def step(self, done: int) -> None:
        """Our step has just ended; the next begins when this returns."""
        self.seconds["ours"].append(self._clock() - self._began)
        for name in self._turns if done % 2 else reversed(self._turns):
            self.seconds[name].append(self._turns[name]())
        self._began = self._clock()


# ---------------------------------------------------------------------- the peers, in a process of their own


def built(name: str) -> tuple[ImageModel, nn.Module | None]:
    """Our network and timm's with the same weights; None where timm has none."""
    torch.manual_seed(0)
    model = REGISTRY.get(name).classifier()
    if name not in TIMM:
        return model, None
    peers()  # timm needs torchvision to load
    import timm

    peer = timm.create_model(TIMM[name], pretrained=False)
    load_state_dict(model, peer.state_dict(), source="timm")
    x = torch.rand(2, *REGISTRY.get(name).input)
    with torch.inference_mode():
        gap = difference(model.eval()(x), peer.eval()(x))
    if gap > SAME:
        raise SystemExit(f"not the same network: logits differ by {gap:.1e} of their size")
    return model, peer


def peers_of(name: str, batch: int) -> dict[str, Turn]:
    """The steps of the peers."""
    model, peer = built(name)
    images, labels = torch.rand(batch, *REGISTRY.get(name).input), torch.arange(batch) % model.classes
    turns = {"plain": plain_turn(model, images, labels)}
    return turns if peer is None else turns | {"timm": plain_turn(peer, images, labels)}


# ---------------------------------------------------------------------- ours


def measured(name: str, cut: str | None, batch: int, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for every peer."""
    clock = clock_of(asked.cpu_time)
    model, _ = built(name)
    preprocess = Preprocess(size=model_side(name), mean=IMAGENET_MEAN, std=IMAGENET_STD)
    pixels = np.random.default_rng(0).integers(0, 256, (batch, *preprocess.size, 3), dtype=np.uint8)
    labels = np.arange(batch) % model.classes
    module: nn.Module = PixelNetwork(model, preprocess)
    module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    source: BatchSource = PixelSource(pixels, labels, Augment(), seed=0)
    recipe = Recipe(lr=RATE, batch=batch, steps=asked.pairs + WARM_UP, schedule=Schedule(kind="constant"))
    how = {"threads": asked.threads, "cpu_time": asked.cpu_time, "keep_memory": asked.tuned_peers}
    with apart(peers_of, name, batch, **how) as turns:
        if cut is None:
            bare = bare_turn(copy.deepcopy(module), torch.from_numpy(pixels), torch.from_numpy(labels), asked.precision)
            turns["bare"] = clocked(bare, clock)
        else:
            engine = "openvino-bf16" if asked.precision == "bf16" else "auto"
            model.freeze(cut, fixed_statistics=True)
            frozen = Frozen(model, preprocess, cut, pixels, engine, torch.device("cpu"), NoProgress())
            source = FrozenStageSource(source, frozen.engine(batch, batch * recipe.epochs), batch)
            module = model.cut(cut)[1]
        rounds = Interleaved(turns, clock)
        train(
            module,
            source,
            recipe,
            loss=CrossEntropy(label_smoothing=recipe.label_smoothing),
            seed=0,
            progress=rounds,
            precision=asked.precision,
            compiled=asked.compile,
        )
    seconds = {who: np.array(each[WARM_UP:]) for who, each in rounds.seconds.items()}
    per_s = round(float(batch / np.median(seconds["ours"])), 2)
    return [{"against": who, **compared(seconds[who], seconds["ours"]), "per_s": per_s} for who in turns]


def model_side(name: str) -> tuple[int, int]:
    """Height and width of the images that a network is made for."""
    _, height, width = REGISTRY.get(name).input
    return height, width


def short(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What falls short of what is asked."""
    found = []
    for row in rows:
        if row["tuned_peers"]:
            continue
        way = row["network"], row["cut"]
        counts = row["against"] == "plain" and row["precision"] == "bf16" and row["batch"] == BATCHES.get(way, BATCH)
        least = LEAST.get(way) if counts else None
        if least is not None and row["ratio"] < least:
            found.append(f"{row['network']} (cut {row['cut']}) {row['ratio']:.2f} of {least}")
        if row["against"] == "bare" and 1 / row["ratio"] > MOST_OVERHEAD:
            found.append(f"{row['network']} takes {1 / row['ratio']:.3f} of the bare step, above {MOST_OVERHEAD}")
    return found


def main() -> None:
    """Measure what is asked for; a row a network, cut and peer goes to results.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["resnet50", "mobilenet_v2", "resnet20_cifar"], metavar="NAME")
    parser.add_argument(
        "--cut", nargs="+", default=["-"], metavar="STAGE", help="last frozen stages, one after another; - freezes none"
    )
    parser.add_argument("--pairs", type=int, default=21)
    parser.add_argument("--batch", type=int, help="images a step (default: as recipes take them)")
    parser.add_argument("--precision", choices=("bf16", "float32"), default="bf16")
    parser.add_argument("--compile", action="store_true", help="run our network through torch.compile")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--tuned-peers", action="store_true", help="give the peers our settings of memory and threads")
    parser.add_argument("--cpu-time", action="store_true", help="count processor time; fairer beside other work")
    parser.add_argument("--dry", action="store_true", help="print the figures, and write none")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    all_rows = []
    for name in asked.networks:
        for cut in asked.cut:
            batch = asked.batch or BATCHES.get((name, cut), BATCH)
            rows = measured(name, None if cut == "-" else cut, batch, asked)
            facts = {"benchmark": "train_step", "network": name, "cut": cut, "precision": asked.precision}
            more = {"compiled": asked.compile, "batch": batch, "side": model_side(name)[0], "pairs": asked.pairs}
            more |= {"tuned_peers": asked.tuned_peers}
            more |= {"threads": asked.threads, "clock": "processor" if asked.cpu_time else "wall"}
            more |= {"torch": torch.__version__, "machine": platform.machine()}
            for row in rows:
                peer = f"timm {version('timm')}" if row["against"] == "timm" else "PyTorch"
                all_rows.append(facts | row | {"peer": peer} | more)
                print(
                    f"{name:<16} cut {cut:<8} against {row['against']:<6} {row['peer_ms']:8.1f} ms {row['ms']:8.1f} ms "
                    f"{row['ratio']:6.3f}  {row['low']:.3f} to {row['high']:.3f}  {row['per_s']:.1f} images/s",
                    flush=True,
                )
    if not asked.dry:
        with open(RESULTS, "a", encoding="utf-8") as results:
            results.writelines(json.dumps(row) + "\n" for row in all_rows)
    missed = short(all_rows)
    if missed:
        raise SystemExit("; ".join(missed))


if __name__ == "__main__":
    main()
