"""The model card of a published network: Markdown with the metadata header of the Hugging Face Hub.

The card names no file and no folder of the machine that made it.
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
MAX_CLASSES = 40
"""Maximum number of classes with a row each in the table of metrics."""

HUB_LICENCES = frozenset(
    {
        *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "unlicense", "cc0-1.0", "cc-by-2.0", "cc-by-3.0"),
        *("cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0"),
        *("cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "gpl-2.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "openrail"),
    }
)
"""The licence identifiers of the Hub; the header gives any other licence as ``license_name``."""

HUB_DATASETS = {
    "mnist": "ylecun/mnist",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
}
"""The Hub repositories of the standard datasets."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Facts that only the publisher knows.

    Args:
        data: Name of the dataset.
        data_licence: Licence of the images; None if it was not stated.
        where: Name that loads the network: ``hub:OWNER/NAME`` or the name of a folder.
    """

    data: str
    data_licence: str | None
    where: str


def render(record: FitRecord | TrainRecord, card: ModelCard, about: About) -> str:
    """Render the model card.

    Args:
        record: The run.
        card: The published ``model.json``.
        about: The facts from the publisher.

    Returns:
        A Markdown document.
    """
    plain = dataclasses.replace(record, data=dataclasses.replace(record.data, issues=()))  # issues name files
    own = isinstance(record, TrainRecord)
    summary = verdict.judge_training(plain) if isinstance(plain, TrainRecord) else verdict.judge(plain)
    return (
        _environment()
        .get_template("model_card.jinja")
        .render(
            record=record,
            card=card,
            about=about,
            trained=own,
            verdict=summary,
            test=record.test,
            licence=card.licence.lower() if card.licence.lower() in HUB_LICENCES else None,
            dataset=HUB_DATASETS.get(about.data),
            steps=in_words(card.preprocess),
            code=in_torch(card.preprocess, card.temperature, about.where),
            noticed={issue.kind: len(issue.files) for issue in record.data.issues},
            settings=_settings(record.recipe) if own else (),
            rows=record.test.per_class if len(card.classes) <= MAX_CLASSES else (),
        )
    )


_ALWAYS = (("", "optimizer"), ("", "lr"), ("", "momentum"), ("", "batch"), ("", "weight_decay"), ("schedule", "kind"))
"""Settings that are listed even if they have the default value."""


def _settings(recipe: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The settings of a recipe that differ from the defaults, one row each."""
    found: list[tuple[str, str]] = []
    for part, kind in (("", Recipe), ("schedule", Schedule), ("augment", Augment)):
        usual = {each.name: io.to_json(each.default) for each in dataclasses.fields(kind)}
        for name, value in (recipe.get(part, {}) if part else recipe).items():
            always = (part, name) in _ALWAYS
            if not isinstance(value, Mapping) and value is not None and (always or value != usual.get(name)):
                found.append((f"{part} {name}".strip().replace("_", " "), words.brief(value)))
    return found


def in_words(preprocess: Preprocess) -> list[str]:
    """The preprocessing of an image, one sentence per step."""
    height, width = preprocess.size
    interpolation = f"{preprocess.interpolation} interpolation"
    if preprocess.interpolation != "nearest":
        interpolation += " and antialiasing"
    if preprocess.fit == "stretch":
        sized = [f"Resize to {height} x {width} px (height x width) with {interpolation}."]
    else:
        sized = [
            f"Resize the shorter side to {preprocess.shorter_side} px with {interpolation}; keep the aspect ratio.",
            f"Crop the centre to {height} x {width} px (height x width).",
        ]
    order = {"rgb": "RGB", "bgr": "BGR", "grey": "greyscale (ITU-R 601 luma)"}[preprocess.channels]
    low, high = preprocess.value_range
    mean, std = (", ".join(f"{v:g}" for v in each) for each in (preprocess.mean, preprocess.std))
    return [
        "Apply the EXIF orientation; composite transparent images on white.",
        f"Convert to {order}.",
        *sized,
        f"Scale the values from 0 to 255 to the range from {low:g} to {high:g}.",
        f"Subtract the mean ({mean}) and divide by the standard deviation ({std}), per channel.",
    ]


def in_torch(preprocess: Preprocess, temperature: float, where: str) -> str:
    """Example code in PyTorch that classifies ``new.jpg``, from the file to probabilities.

    Args:
        preprocess: The preprocessing of an image.
        temperature: Temperature by which the logits are divided.
        where: Name that loads the network.
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
        f"mean, std = (torch.tensor(v)[:, None, None] for v in ({list(preprocess.mean)}, {list(preprocess.std)}))",
        "with torch.inference_mode():",
        f"    probabilities = (model((x - mean) / std) / {temperature!r}).softmax(1)[0]",
    ]
    return "\n".join(lines)


def public(record: FitRecord | TrainRecord, card: ModelCard, about: About) -> dict[str, Any]:
    """The metrics of a run for publication; they name no file and no folder.

    Args:
        record: The run.
        card: The published ``model.json``.
        about: The facts from the publisher.
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
    """Text with all Markdown and HTML syntax escaped, on one line."""
    shown = words.printable(str(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "\\`*_[]|#!$~" else c for c in shown)
