"""Speed, accuracy and determinism on a GPU: one script of about ten minutes.

Every step runs the `striate` command in a new process, so a step that fails does not affect the others:

- `bench`: forward passes and training steps of several networks in float32, as `striate bench` times them.
- `step`: the training loop against the same step written in plain PyTorch (channels last, bfloat16 autocast), on the
  same uint8 images. The ratio shows the overhead of the loop.
- `cifar`: CIFAR-10 from scratch with the recipe `resnet_cifar_fast`: test accuracy and seconds.
- `repeat`: the same short training run twice, and whether both end with equal weights.
- `resume`: the same training run stopped by SIGTERM and resumed, and whether it ends with the same weights.
- `fit`: the main job on a small set of photos: test accuracy and seconds.
- `predict`: evaluation on the test images of CIFAR-10: images per second, including decoding.

    python benchmarks/gpu.py --cifar FOLDER --photos photos.tar --out results.jsonl

The CIFAR folder contains train.tar.xz and test.tar.xz with class folders, or the extracted folders. A step without its
data is skipped. Each row of the output contains the device, the versions and the result of the step.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STRIATE = [sys.executable, "-m", "striate"]
NETWORKS = ["resnet50", "mobilenet_v2", "efficientnet_b0", "convnext_tiny"]
STEP_LIMIT_S = 300


def main() -> None:
    """Run the chosen steps, and append a row for each to the output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--backbone", default="mobilenet_v2", help="backbone of the step fit")
    parser.add_argument("--workers", type=int, default=min(12, (os.cpu_count() or 2) - 1))
    parser.add_argument("--steps", nargs="*", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.jsonl"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        given.work = Path(folder)
        if given.cifar is not None:
            given.cifar = unpacked(given.cifar, given.work / "cifar10")
        for name in given.steps:
            began = time.monotonic()
            try:
                facts = STEPS[name](given)
            except (subprocess.SubprocessError, OSError, ValueError, KeyError, RuntimeError) as error:
                facts = {"error": str(error)[-2000:]}
            if facts is None:
                continue
            row = {"benchmark": "gpu", "step": name, **device(), **facts, "seconds": time.monotonic() - began}
            print(json.dumps(row), flush=True)
            with given.out.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")


def device() -> dict[str, Any]:
    """The name of the GPU and the version of PyTorch."""
    import torch

    name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"
    return {"device": name, "torch": torch.__version__}


def unpacked(source: Path, target: Path) -> Path:
    """Extract CIFAR-10 if necessary. Returns the folder with train/ and test/ class folders."""
    if (source / "train").is_dir():
        return source
    for part in ("train", "test"):
        with tarfile.open(source / f"{part}.tar.xz") as archive:
            archive.extractall(target, filter="data")
    return target


def striate(*words: object, timeout: float = STEP_LIMIT_S) -> Any:
    """Run a command, and return its JSON output.

    Raises:
        RuntimeError: The command failed. The message contains the end of its standard error.
    """
    done = subprocess.run([*STRIATE, *map(str, words), "--json"], capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise RuntimeError(done.stderr[-1500:])
    return json.loads(done.stdout)


def bench(given: argparse.Namespace) -> dict[str, Any]:
    """Forward and training step of several networks."""
    rows = striate("bench", *NETWORKS, "--device", "cuda", "--batch", 64)
    kept = ("name", "batch", "forward_ms", "step_ms", "images_per_s")
    return {"rows": [{key: row[key] for key in kept} for row in rows]}


def step(given: argparse.Namespace) -> dict[str, Any]:
    """The step of the training loop against the same step in plain PyTorch: ResNet-50 at 224 px."""
    import numpy as np
    import torch
    import torch.nn.functional as F

    from striate.core.preprocess import IMAGENET_MEAN, IMAGENET_STD
    from striate.models import REGISTRY

    batch, rounds = 128, 30
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (batch, 224, 224, 3), np.uint8))
    labels = torch.arange(batch) % 1000
    mean, std = (torch.tensor(v, device="cuda").view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    model = REGISTRY.get("resnet50").create().cuda().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, nesterov=True)
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        x = pixels.cuda(non_blocking=True).permute(0, 3, 1, 2).float().div(255).sub(mean).div(std)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            logits = model(x.contiguous(memory_format=torch.channels_last))
        F.cross_entropy(logits.float(), labels.cuda()).backward()
        optimizer.step()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    by_hand = sorted(seconds[5:])[len(seconds[5:]) // 2]
    del model, optimizer
    torch.cuda.empty_cache()
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        ours = loop_step(Path(folder), batch, rounds)
    return {"batch": batch, "by_hand_ms": 1e3 * by_hand, "ours_ms": 1e3 * ours, "ratio": by_hand / ours}


def loop_step(folder: Path, batch: int, rounds: int) -> float:
    """Seconds per step of `striate train`, from the log of a run on synthetic images without augmentation."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(batch * rounds + 8):  # one colour each: the files are small, and the steps cost the same
        path = folder / "data" / ("train" if i >= 8 else "test") / f"class{i % 4}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (224, 224), tuple(rng.integers(0, 256, 3).tolist())).save(path)
    recipe = folder / "plain.toml"
    recipe.write_text(f"lr = 1e-4\nbatch = {batch}\nepochs = 4\n")
    out = folder / "run"
    striate("train", "resnet50", folder / "data", "--recipe", recipe, "--device", "cuda", "--workers", 4, "--out", out)
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    speeds = sorted(row["images_per_s"] for row in rows if row.get("event") == "epoch")
    return batch / speeds[len(speeds) // 2]


def cifar(given: argparse.Namespace) -> dict[str, Any] | None:
    """CIFAR-10 from scratch."""
    if given.cifar is None:
        return None
    named = ("--recipe", "resnet_cifar_fast", "--device", "cuda", "--workers", given.workers)
    record = striate("train", "airbench94", "cifar10", "--root", given.cifar, *named, "--out", given.work / "fast")
    return {"top1": record["test"]["top1"], "n": record["test"]["n"], "training_s": record["seconds"]["training"]}


def short(given: argparse.Namespace) -> list[object]:
    """Arguments of a short training run."""
    return ["train", "resnet20_cifar", "digits", "--recipe", "cifar_short", "--epochs", 8, "--device", "cuda"]


def weights(run: Path) -> str:
    """SHA-256 of the weights of a run."""
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()


def repeat(given: argparse.Namespace) -> dict[str, Any]:
    """Two training runs with the same seed."""
    runs = [given.work / f"repeat{i}" for i in range(2)]
    tops = [striate(*short(given), "--out", run)["test"]["top1"] for run in runs]
    return {"equal": weights(runs[0]) == weights(runs[1]), "top1": tops}


def resume(given: argparse.Namespace) -> dict[str, Any]:
    """A training run that is stopped and resumed, against an uninterrupted one."""
    whole, parts = given.work / "whole", given.work / "parts"
    straight = striate(*short(given), "--out", whole)
    command = [*STRIATE, *map(str, short(given)), "--out", str(parts)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        log = parts / "log.jsonl"
        while time.monotonic() < deadline and process.poll() is None:
            if log.exists() and log.read_text().count('"event": "epoch"') >= 3:
                process.send_signal(signal.SIGTERM)
                break
            time.sleep(0.02)
        code = process.wait(120)
    record = striate("train", "--resume", parts)
    equal = weights(whole) == weights(parts)
    return {
        "exit_code": code,
        "resumes": record["resumes"],
        "equal": equal,
        "top1": [straight["test"]["top1"], record["test"]["top1"]],
    }


def fit(given: argparse.Namespace) -> dict[str, Any] | None:
    """The main job on photos."""
    if given.photos is None:
        return None
    record = striate("fit", given.photos, "--backbone", given.backbone, "--device", "cuda", "--out", given.work / "fit")
    return {
        "top1": record["test"]["top1"],
        "n": record["test"]["n"],
        "chosen": record["chosen"]["strategy"],
        "parts": record["seconds"],
    }


def predict(given: argparse.Namespace) -> dict[str, Any] | None:
    """Images per second when evaluating the network of the step cifar on the test images."""
    if given.cifar is None or not (given.work / "fast" / "metrics.json").exists():
        return None
    began = time.monotonic()
    record = striate(
        "eval",
        given.work / "fast",
        "cifar10",
        "--root",
        given.cifar,
        "--split",
        "test",
        "--device",
        "cuda",
        "--batch",
        256,
    )
    spent = time.monotonic() - began
    return {"top1": record["top1"], "n": record["n"], "images_per_s": record["n"] / spent}


STEPS: dict[str, Callable[[argparse.Namespace], dict[str, Any] | None]] = {
    "bench": bench,
    "step": step,
    "repeat": repeat,
    "resume": resume,
    "fit": fit,
    "cifar": cifar,
    "predict": predict,
}

if __name__ == "__main__":
    main()
