"""Puts a training run's weights into the package: float16, with their recipe, data, licence and measured accuracy.

python -m striate.jobs.bundle RUN --data-licence LICENCE [--root FOLDER]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from striate import tasks, weights
from striate.core.atomic import write_text
from striate.core.events import NoProgress
from striate.core.words import command_line
from striate.data.index import scan
from striate.inference.predict import predict_batches
from striate.jobs.classifier import load
from striate.models.pixels import PixelNetwork
from striate.records import io
from striate.weights import read_state, save_state
from striate.weights.fetch import digest
from striate.weights.trained import read_card, rebuild

_PACKAGE = Path(weights.__file__).parent
CATALOGUE = _PACKAGE / "catalogue" / "own.toml"
_TITLE = """\
# Weights of our own making. Each was trained by the command in its note and measured in float16, as it is stored.
# This file is written by `python -m striate.jobs.bundle`.
"""


def run(folder: Path, *, data_licence: str, root: str | None = None) -> str:
    """Store the weights of a finished `striate train` and enter them into the catalogue.

    Args:
        folder: Of the run.
        data_licence: Under which the images may be used.
        root: Where the files of the standard set are, if not where the run found them.

    Returns:
        The catalogue's new entry.
    """
    record, card = io.read(folder / "metrics.json"), read_card(folder)
    plan = record["plan"]
    name = f"{card.network}_{plan['data']}.safetensors"
    file = _PACKAGE / "bundled" / name
    command = command_line(
        *("striate", "train", card.network, plan["data"], "--recipe", plan["recipe"], "--seed", str(plan["seed"]))
    )
    words = {
        "command": command,
        "recipe": json.dumps(record["recipe"]),
        "data": plan["data"],
        "data_licence": data_licence,
        "striate": card.striate,
    }
    model = load(folder).network.model
    save_state(model, file, dtype=torch.float16, metadata=words)

    stored = rebuild(card)
    stored.load_state_dict(read_state(file))
    index = scan(plan["data"], root=root or plan["root"])
    test = [i for i, part in enumerate(index.splits or ()) if part == "test"]
    classifier = PixelNetwork(stored, card.preprocess).eval()
    outputs = predict_batches(
        classifier, card.preprocess, index, test, width=len(card.classes), progress=NoProgress(), phase="", batch=100
    )
    task = tasks.get(card.task).from_card({"classes": card.classes})
    top1 = task.score(outputs.values, task.targets(index)[outputs.positions]).top1
    pre = card.preprocess
    entry = "\n".join(
        [
            "[[checkpoint]]",
            f'network = "{card.network}"',
            f'tag = "{plan["data"]}"',
            'source = "striate"',
            f'file = "{name}"',
            "bundled = true",
            f'sha256 = "{digest(file)}"',
            f"bytes = {file.stat().st_size}",
            'licence = "Apache-2.0"',
            f'labels = "{plan["data"]}"',
            f'metric = {{ dataset = "{plan["data"]} test", top1 = {100 * top1:.2f} }}',
            f'preprocess = {{ size = {list(pre.size)}, channels = "{pre.channels}", mean = {list(pre.mean)}, '
            f"std = {list(pre.std)} }}",
            f'note = "made by `{command}` on the {record["data"]["train"]:,} training images (data: {data_licence})"',
            "",
        ]
    )
    _enter(entry, card.network, plan["data"])
    return entry


def _enter(entry: str, network: str, tag: str) -> None:
    known = CATALOGUE.read_text(encoding="utf-8").split("[[checkpoint]]")[1:] if CATALOGUE.exists() else []
    mine = f'network = "{network}"\ntag = "{tag}"\n'
    kept = ["[[checkpoint]]" + each.rstrip() + "\n" for each in known if mine not in each]
    write_text(CATALOGUE, _TITLE + "\n" + "\n".join([*kept, entry]))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished striate train")
    parser.add_argument("--data-licence", required=True)
    parser.add_argument("--root")
    asked = parser.parse_args()
    print(run(asked.run, data_licence=asked.data_licence, root=asked.root))


if __name__ == "__main__":
    main()
