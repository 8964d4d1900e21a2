"""Writes the pages about networks: one page per family, an index, and a paragraph in the README.

`python docs/pages.py` (`make pages`) writes them from the model files, the table of networks and the catalogue of
weights; `--check` changes nothing and fails when a page is out of date.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import stage_figure
import torch

from striate.core.meta import shapes_only
from striate.core.words import compact
from striate.models import REGISTRY, ImageModel
from striate.records import zoo
from striate.records.zoo import ZooRow
from striate.report import figures
from striate.weights import catalogue
from striate.weights.catalogue import Checkpoint

DOCS = Path(__file__).resolve().parent
NETWORKS = DOCS / "networks"
README = DOCS.parent / "README.md"
IMAGENET = "imagenet-1k validation"
DRAWN = {"resnet": "resnet50", "vgg": "vgg16", "fcn": "fcn8s"}
"""The network that represents a family, if it is not the family's first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What a page describes.

    Args:
        name: Name of the module.
        title: Title of its docstring, before the colon.
        idea: First sentence of its docstring, after the colon.
        body: The rest of the docstring: source, stages, departures from the paper.
        rows: Its networks.
    """

    name: str
    title: str
    idea: str
    body: str
    rows: tuple[ZooRow, ...]

    @property
    def drawn(self) -> ZooRow:
        """The network of the figure and of the example."""
        return next((row for row in self.rows if row.name == DRAWN.get(self.name)), self.rows[0])

    @property
    def weights(self) -> list[Checkpoint]:
        """Published weights of all its networks."""
        return [each for row in self.rows for each in catalogue.entries_for(row.name)]


def families() -> list[Family]:
    """Every family, oldest paper first."""
    found = []
    for name in zoo.families():
        text = import_module(f"striate.models.{name}").__doc__ or ""
        first, _, body = text.strip().partition("\n")
        title, _, idea = first.partition(": ")
        rows = tuple(row for row in zoo.rows() if row.family == name)
        found.append(Family(name=name, title=title, idea=_sentence(idea), body=body.strip(), rows=rows))
    return found


def page(family: Family) -> str:
    """The page of one family, as Markdown."""
    row, source = family.drawn, f"src/striate/models/{family.name}.py"
    parts = [
        f"# {family.title}",
        family.idea,
        f"{_paper(family.rows[0].paper)} · [`{source}`](../../{source})",
        f"![The stages of {row.name}: resolution and channels of the output of each stage](figures/{family.name}.svg)",
        f"Feature maps of `{row.name}` for an input of {_sides(row.input)} px. Height shows resolution, length shows "
        "channels.",
        markdown(family.body),
        "## Networks",
        variants(family.rows),
        "## Weights",
        weights(family.weights),
        "## Usage",
        f"```sh\n{commands(family)}\n```",
        f"```python\n{example(row)}```",
        "Output:",
        f"```text\n{run(example(row))}```",
        "[All networks](index.md)",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def index(found: Sequence[Family]) -> str:
    """The page that lists every network."""
    measured = [row for family in found for row in family.rows if best(row.name)]
    lines = []
    for family in found:
        for row in family.rows:
            top = best(row.name)
            tops = [f"{top.top1:.1f}", "-" if top.top5 is None else f"{top.top5:.1f}"] if top else ["-", "-"]
            sources = ", ".join(dict.fromkeys(each.source for each in catalogue.entries_for(row.name))) or "-"
            cells = [f"[`{row.name}`]({family.name}.md)", str(row.year), _sides(row.input)]
            lines.append([*cells, f"{row.params:,}", compact(row.macs), *tops, sources])
    head = ["network", "year", "input, px", "parameters", "multiply-adds", "top-1, %", "top-5, %", "weights from"]
    parts = [
        "# Networks",
        f"{len(lines)} networks of {len(found)} families, in order of publication; `striate models` prints the same "
        "list. Each network is a backbone of named stages and a head. It takes any number of input channels and "
        "classes, and `forward_stages` returns the feature maps of every stage.",
        family_table(found),
        "## Accuracy and cost",
        "![Accuracy against multiply-adds](figures/accuracy.svg)",
        f"Published top-1 accuracy on the ImageNet validation set against multiply-adds at the native input size "
        f"(logarithmic), for the {len(measured)} networks that have both. The area of a bubble shows the number of "
        "parameters. Accuracy also depends on how the weights were trained, and newer training recipes are better.",
        "## All networks",
        _table(head, lines, numbers=range(1, 7)),
        "Accuracies are those that the publishers report at the image size of the weights, for the best weights of "
        "each network.",
    ]
    return "\n\n".join(parts) + "\n"


def variants(rows: Sequence[ZooRow]) -> str:
    """One row per network."""
    lines = []
    for row in rows:
        others = ", ".join(f"`{each}`" for each in row.aliases) or "-"
        sees = _sides(row.receptive_field) if row.receptive_field else "-"
        numbers = [f"{row.params:,}", f"{row.macs:,}", str(row.depth), sees]
        lines.append([f"`{row.name}`", f"{row.input[0]} x {_sides(row.input)}", str(row.classes), *numbers, others])
    head = ["network", "input", "classes", "parameters", "multiply-adds", "depth", "receptive field, px", "aliases"]
    table = _table(head, lines, numbers=range(2, 7))
    more = ", ".join(f"`{row.name}` has {row.params + row.aux_params:,}" for row in rows if row.aux_params)
    return (
        f"{table}\n\nDepth counts layers with weights, including normalisation layers. The receptive field is that of "
        "the last feature maps." + (f" Parameters are those without auxiliary heads; with them {more}." if more else "")
    )


def weights(entries: Sequence[Checkpoint]) -> str:
    """One row per file, or a sentence if there is none."""
    if not entries:
        return "No published weights can be loaded for this family; training starts from random weights."
    lines = []
    for each in entries:
        metric = each.metric
        top = [
            "-" if number is None else f"{number:.2f}" for number in (metric and metric.top1, metric and metric.top5)
        ]
        options = ", ".join(f"`{name} = {value}`" for name, value in each.options.items())
        notes = "; ".join(part for part in (each.note, options) if part) or "-"
        lines.append([f"`{each.name}`", each.source, _sides(each.preprocess.size), *top, each.licence, notes])
    sets = ", ".join(dict.fromkeys(each.metric.dataset for each in entries if each.metric))
    head = ["weights", "from", "image, px", "top-1, %", "top-5, %", "licence", "options and notes"]
    table = _table(head, lines, numbers=(3, 4))
    said = f"Accuracies are those that the publishers report on {sets}. " if sets else ""
    return f"{table}\n\n{said}`create_model` sets the options when you name the weights ([weights](../weights.md))."


def commands(family: Family) -> str:
    """Commands for the family."""
    tags = [each for each in family.weights if each.network == family.drawn.name]
    lines = [f"striate show {family.drawn.name}"]
    if tags and family.drawn.task == "classify":
        lines.append(f"striate fit photos/ --backbone {tags[0].name}")
    return "\n".join(lines)


def example(row: ZooRow) -> str:
    """A script that prints the shapes of all feature maps and of the logits."""
    note = '  # weights="default" loads published weights' if catalogue.entries_for(row.name) else ""
    pooled = 'print("pooled", tuple(model.forward_head(model.forward_features(images), upto="pool").shape))\n'
    return f"""import torch

import striate

model = striate.create_model("{row.name}", classes=5).eval(){note}
images = torch.randn(1, {", ".join(str(each) for each in row.input)})
for stage, maps in model.forward_stages(images).items():
    print(stage, tuple(maps.shape))
{pooled if row.task == "classify" else ""}print("logits", tuple(model(images).shape))
"""


def run(script: str) -> str:
    """Output of a script, run on tensors without memory."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), shapes_only(), torch.no_grad():
        exec(compile(script, "<example>", "exec"), {})
    return said.getvalue()


def figure(row: ZooRow) -> str:
    """A drawing of the stages of a network."""
    with shapes_only(), torch.no_grad():
        model = REGISTRY.get(row.name).create().eval()
        maps = model.forward_stages(torch.empty(1, *row.input))
    image = stage_figure.Block(name="image", channels=row.input[0], side=row.input[1])
    drawn = [stage_figure.Block(name=name, channels=each.shape[1], side=each.shape[2]) for name, each in maps.items()]
    if isinstance(model, ImageModel):
        parts = [*(part for part in model.head.part_names if part != "logits"), f"{row.classes:,} logits"]
    else:
        parts = ["reads", *model.head.reads, f"{row.classes:,} logit maps"]
    return stage_figure.stages([image, *drawn], parts, f"The stages of {row.name}")


def best(network: str) -> catalogue.Metric | None:
    """The best published accuracy on ImageNet for a network as the table has it."""
    known = [each.metric for each in catalogue.entries_for(network) if each.metric and "width" not in each.options]
    return max((each for each in known if each.dataset == IMAGENET), key=lambda each: each.top1, default=None)


def accuracy(found: Sequence[Family]) -> str:
    """A chart of every network with an accuracy."""
    points = [
        figures.Bubble(name=row.name, family=row.family, cost=row.macs, top1=top.top1, params=row.params)
        for family in found
        for row in family.rows
        if (top := best(row.name))
    ]
    return figures.bubbles(points, axis="multiply-adds for one image", source=IMAGENET)


def family_table(found: Sequence[Family]) -> str:
    """One row per family."""
    lines = []
    for family in found:
        params = sorted(row.params for row in family.rows)
        spread = compact(params[0]) + (f" to {compact(params[-1])}" if params[-1] > params[0] else "")
        sources = ", ".join(dict.fromkeys(each.source for each in family.weights)) or "-"
        names = ", ".join(f"`{row.name}`" for row in family.rows[:3]) + (", ..." if len(family.rows) > 3 else "")
        title = f"[{family.title}]({family.name}.md)"
        lines.append([title, str(family.rows[0].year), names, str(len(family.rows)), spread, sources])
    head = ["family", "year", "networks", "number", "parameters", "weights from"]
    return _table(head, lines, numbers=(1, 3, 4))


def summary(found: Sequence[Family]) -> str:
    """The networks in one paragraph, for the README."""
    networks = sum(len(family.rows) for family in found)
    files = [each for family in found for each in family.weights]
    return (
        f"{networks} networks of {len(found)} families from {found[0].rows[0].year} to {found[-1].rows[0].year}, among "
        "them LeNet-5, AlexNet, VGG, Inception, ResNet, DenseNet, MobileNet, EfficientNet and ConvNeXt. The catalogue "
        f"has {len(files)} checkpoints, most of them from torchvision, timm and Keras, each with its preprocessing and "
        "licence."
    )


def markdown(text: str) -> str:
    """The body of a docstring as Markdown."""
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.splitlines()
        ruled = re.fullmatch(r"=+( +=+)+", lines[0].strip())
        blocks.append(_simple_table(lines) if ruled else " ".join(line.strip() for line in lines))
    return "\n\n".join(blocks).replace("``", "`")


def _simple_table(lines: Sequence[str]) -> str:
    """A table ruled by `====`; a row without a first cell continues the row before."""
    starts = [found.start() for found in re.finditer(r"=+", lines[0])]
    spans = list(zip(starts, [*starts[1:], None], strict=True))
    rows: list[list[str]] = []
    for line in lines[1:]:
        if line.startswith("=="):
            continue
        cells = [line[start:stop].strip() for start, stop in spans]
        if cells[0]:
            rows.append(cells)
        else:
            rows[-1] = [f"{a} {b}".strip() for a, b in zip(rows[-1], cells, strict=True)]
    return _table(rows[0], rows[1:], numbers=())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Iterable[int]) -> str:
    right = set(numbers)
    rule = ["---:" if i in right else "---" for i in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def _paper(words: str) -> str:
    return re.sub(r"\(arXiv (\d+\.\d+)\)", r"([arXiv \1](https://arxiv.org/abs/\1))", words)


def _sides(shape: Sequence[int]) -> str:
    height, width = shape[-2:]
    return f"{height} x {width}"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def documents() -> dict[Path, str]:
    """Every file that this script writes, with its content."""
    found = families()
    made = {NETWORKS / "index.md": index(found), NETWORKS / "figures" / "accuracy.svg": accuracy(found)}
    for family in found:
        made[NETWORKS / f"{family.name}.md"] = page(family)
        made[NETWORKS / "figures" / f"{family.name}.svg"] = figure(family.drawn)
    begin, end = "<!-- table:networks begin -->", "<!-- table:networks end -->"
    before, _, rest = README.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not closed:
        raise SystemExit(f"{README.name}: the markers {begin} and {end} are missing")
    made[README] = f"{before}{begin}\n{summary(found)}\n{end}{after}"
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a page is out of date")
    check = parser.parse_args().check
    made = documents()
    stale = {path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text}
    orphans = {path for path in NETWORKS.rglob("*") if path.is_file()} - set(made)
    if check:
        names = ", ".join(sorted(path.name for path in stale | orphans))
        sys.exit(f"out of date: {names}; run python docs/pages.py" if names else 0)
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[path], encoding="utf-8")
    for path in orphans:
        path.unlink()


if __name__ == "__main__":
    main()
