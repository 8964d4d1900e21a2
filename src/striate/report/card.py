"""The model card: what a network for others is, how it was made, what it was measured on, and how it is used.

It is Markdown with the head that the Hugging Face hub reads, and names no file and no folder of where it was made.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment

from striate.core import words
from striate.core.preprocess import Preprocess
from striate.records import io
from striate.records.recipes import Augment, Recipe, Schedule
from striate.records.results import FitRecord, TrainRecord
from striate.report import verdict
from striate.report.template import environment
from striate.weights.trained import ModelCard

NAME = "README.md"
MOST_CLASSES = 40
"""Up to so many have a row each."""

HUB_LICENCES = frozenset(
    {
        *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "unlicense", "cc0-1.0", "cc-by-2.0", "cc-by-3.0"),
        *("cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0"),
        *("cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "gpl-2.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "openrail"),
    }
)
"""What the hub knows by these names; others are written out under ``license_name``."""

HUB_DATASETS = {
    "mnist": "ylecun/mnist",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
}
"""Where the hub keeps the standard sets."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What only the publisher can say.

    Args:
        data: What the images are called.
        data_licence: Under which they may be used; None where it was not said.
        where: By what name the network is loaded: ``hub:OWNER/NAME`` or a folder's name.
    """

    data: str
    data_licence: str | None
    where: str


def render(record: FitRecord | TrainRecord, card: ModelCard, about: About) -> str:
    """The card.

    Args:
        record: The run.
        card: The published ``model.json``.
        about: What the publisher said.

    Returns:
        A Markdown document.
    """
    plain = dataclasses.replace(record, data=dataclasses.replace(record.data, issues=()))  # their words name files
    own = isinstance(record, TrainRecord)
    found = verdict.judge_training(plain) if isinstance(plain, TrainRecord) else verdict.judge(plain)
    return (
        _environment()
        .get_template("model_card.jinja")
        .render(
            record=record,
            card=card,
            about=about,
            trained=own,
            verdict=found,
            test=record.test,
            licence=card.licence.lower() if card.licence.lower() in HUB_LICENCES else None,
            dataset=HUB_DATASETS.get(about.data),
            steps=in_words(card.preprocess),
            code=in_torch(card.preprocess, card.temperature, about.where),
            noticed={issue.kind: len(issue.files) for issue in record.data.issues},
            settings=_settings(record.recipe) if own else (),
            rows=record.test.per_class if len(card.classes) <= MOST_CLASSES else (),
        )
    )


_ALWAYS = (("", "optimizer"), ("", "lr"), ("", "momentum"), ("", "batch"), ("", "weight_decay"), ("schedule", "kind"))
"""Settings that are shown where they are the default too."""


def _settings(recipe: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a recipe says beyond the defaults, a row each."""
    found: list[tuple[str, str]] = []
    for part, kind in (("", Recipe), ("schedule", Schedule), ("augment", Augment)):
        usual = {each.name: io.to_json(each.default) for each in dataclasses.fields(kind)}
        for name, value in (recipe.get(part, {}) if part else recipe).items():
            always = (part, name) in _ALWAYS
            if not isinstance(value, Mapping) and value is not None and (always or value != usual.get(name)):
                found.append((f"{part} {name}".strip().replace("_", " "), words.brief(value)))
    return found


def in_words(preprocess: Preprocess) -> list[str]:
    """What must be done to an image, a sentence a step."""
    height, width = preprocess.size
    filtered = f"with the {preprocess.interpolation} filter"
    if preprocess.interpolation != "nearest":
        filtered += ", antialiased"
    if preprocess.fit == "stretch":
        sized = [f"Both sides are brought to {height} x {width} px (height x width) {filtered}."]
    else:
        sized = [
            f"The shorter side is brought to {preprocess.shorter_side} px {filtered}; the longer follows.",
            f"The centre of {height} x {width} px (height x width) is cut out.",
        ]
    order = {"rgb": "RGB", "bgr": "BGR", "grey": "one channel of luma (ITU-R 601)"}[preprocess.channels]
    low, high = preprocess.value_range
    mean, std = (", ".join(f"{v:g}" for v in each) for each in (preprocess.mean, preprocess.std))
    return [
        "The image is turned as its EXIF orientation says; transparency is laid on white.",
        f"It is brought to {order}.",
        *sized,
        f"Bytes from 0 to 255 become numbers from {low:g} to {high:g}.",
        f"The mean ({mean}) is taken away from each channel, and the rest is divided by the deviation ({std}).",
    ]


def in_torch(preprocess: Preprocess, temperature: float, where: str) -> str:
    """A few lines of PyTorch that name what is on ``new.jpg``, from the file to probabilities.

    Args:
        preprocess: What must be done to an image.
        temperature: What logits are divided by.
        where: By what name the network is loaded.
    """
    (height, width), (low, high) = preprocess.size, preprocess.value_range
    kind = "L" if preprocess.channels == "grey" else "RGB"
    filtered = f"Image.Resampling.{preprocess.interpolation.upper()}"
    lines = [
        "import numpy as np",
        "import striate",
        "import torch",
        "from PIL import Image, ImageOps",
        "",
        f"model = striate.create_model({json.dumps(where)})  # an ordinary torch.nn.Module, in evaluation mode",
        f'image = ImageOps.exif_transpose(Image.open("new.jpg")).convert("{kind}")',
    ]
    if preprocess.fit == "stretch":
        lines.append(f"image = image.resize(({width}, {height}), {filtered})")
    else:
        short = preprocess.shorter_side
        lines += [
            "w, h = image.size",
            f"image = image.resize(({short} * w // min(w, h), {short} * h // min(w, h)), {filtered})",
            f"left, top = round((image.width - {width}) / 2), round((image.height - {height}) / 2)",
            f"image = image.crop((left, top, left + {width}, top + {height}))",
        ]
    channels = preprocess.in_channels
    flip = ".flip(1)  # the network takes BGR" if preprocess.channels == "bgr" else ""
    lines += [
        f"x = torch.from_numpy(np.array(image)).reshape(1, {height}, {width}, {channels}).permute(0, 3, 1, 2){flip}",
        f"x = x.float() / 255 * {high - low!r} + {low!r}" if (low, high) != (0.0, 1.0) else "x = x.float() / 255",
        f"mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in ({list(preprocess.mean)}, {list(preprocess.std)}))",
        "with torch.inference_mode():",
        f"    probabilities = (model((x - mean) / std) / {temperature!r}).softmax(1)[0]",
    ]
    return "\n".join(lines)


def public(record: FitRecord | TrainRecord, card: ModelCard, about: About) -> dict[str, Any]:
    """The figures of a run that may be published: nothing in them names a file or a folder.

    Args:
        record: The run.
        card: The published ``model.json``.
        about: What the publisher said.
    """
    data = record.data
    shared = {
        "format": record.format,
        "network": card.network,
        "test": record.test,
        "data": {
            "name": about.data,
            "licence": about.data_licence,
            "classes": data.classes,
            "counts": data.counts,
            "train": data.train,
            "validation": data.validation,
            "test": data.test,
        },
        "cost": record.cost,
        "seed": record.seed,
        "versions": record.versions,
        "licence": card.licence,
        "start": card.start,
        "made": card.made,
    }
    if isinstance(record, TrainRecord):
        more: Mapping[str, Any] = {
            "recipe": record.recipe,
            "curve": record.curve,
            "steps": record.steps,
            "best_epoch": record.best_epoch,
            "validation": {"top1": record.validation, "n": data.validation},
        }
    else:
        chosen = record.chosen
        more = {
            "validation": record.validation,
            "strategy": chosen.strategy,
            "reused_stages": chosen.reused_stages,
            "depth": record.depth,
        }
    return shared | dict(more)


@cache
def _environment() -> Environment:
    made = environment(html=False)
    made.filters["plain"] = _plain
    return made


def _plain(text: str) -> str:
    """Words that mean nothing to Markdown or HTML, on one line."""
    shown = words.printable(str(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "\\`*_[]|#!$~" else c for c in shown)
