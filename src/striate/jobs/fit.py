"""The main job: labelled images become a classifier, with the evidence for trusting it.

Its steps are prepare, extract features, choose, train the winner, evaluate on the test set, record.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.cache.readable import find_unreadable
from striate.core import paths
from striate.core.cancel import CancelPoints, CancelToken
from striate.core.device import pick
from striate.core.errors import DataError, JobCancelled, StriateError
from striate.core.events import NoProgress, ProgressCallback, ProgressCallbacks
from striate.core.preprocess import Preprocess
from striate.data.audit import notes_of, unreadable_images
from striate.data.digest import write_set
from striate.data.index import dataset_file, dataset_name
from striate.data.split import Splits
from striate.inference.latency import prediction_seconds
from striate.inference.predict import Outputs
from striate.jobs import dataset, run_files, run_folder
from striate.jobs.backbone import suggest
from striate.jobs.dataset import DataSet
from striate.jobs.versions import versions
from striate.models import ImageModel
from striate.models.pixels import PixelNetwork
from striate.records import io
from striate.records.plans import FitPlan
from striate.records.results import Chosen, FitRecord
from striate.sizing import measure
from striate.transfer.budget import MACS_PER_SECOND, Budget, busy, probing_seconds
from striate.transfer.context import TransferContext
from striate.transfer.explain import reason
from striate.transfer.features import FeatureExtractor, Features
from striate.transfer.policy import Choice, build, choose
from striate.transfer.watch import StartWatch
from striate.weights import Opened, open_model, trained

CLOSING_S = 4.0
"""Seconds that preparing the test, and writing the model and the report take."""
BACKBONE = "backbone.json"
"""In the work folder: the network that was chosen, so that a resumed run starts from the same one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOutcome:
    """A finished run.

    Args:
        record: What ``metrics.json`` holds.
        folder: Of the run.
        resumed: Whether it resumed an unfinished run.
        finished_before: Whether it was finished already; nothing was computed.
    """

    record: FitRecord
    folder: Path
    resumed: bool
    finished_before: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Prepared:
    """A data set and a backbone.

    Args:
        data: The images and their splits.
        backbone: The name by which the pretrained network was opened.
        opened: The pretrained network.
        notes: What a person should know of the backbone.
    """

    data: DataSet
    backbone: str
    opened: Opened
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Extracted:
    """Features of every readable image.

    Args:
        data: The images; the splits hold readable ones only.
        context: What all candidates share, their features among it.
    """

    data: DataSet
    context: TransferContext


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Model:
    """The winner, trained on all labelled images.

    Args:
        network: In evaluation mode.
        preprocess: What is done to an image before it.
    """

    network: ImageModel
    preprocess: Preprocess


def run(
    plan: FitPlan,
    *,
    out: Path | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> FitOutcome:
    """Carry out a plan, or resume it.

    Args:
        plan: What is asked.
        out: The run's folder; None takes the next free ``runs/<data>-<n>``.
        progress: Receives progress; None for silence.
        cancel: Asks the job to stop where the same plan resumes it; None never asks.

    Raises:
        DataError: The images cannot be used as they are.
        PlanError: The folder holds another plan's run.
        StorageError: Something cannot be written.
        JobCancelled: `cancel` asked to stop.
        StriateError: Others, as named in `core.errors`.
    """
    began, cancel = time.monotonic(), cancel or CancelToken()
    progress = CancelPoints(progress or NoProgress(), cancel)
    if out is not None and (found := run_folder.finished("fit", plan, out, FitRecord)) is not None:
        return FitOutcome(record=found, folder=out, resumed=False, finished_before=True)
    prepared = prepare(plan, out, progress)
    # The folder is claimed only now: a typing error in the plan leaves none that would refuse the corrected plan.
    with (
        run_folder.reserved(out, dataset_name(plan.data)) as where,
        run_folder.claim("fit", plan, where) as claim,
    ):
        progress = ProgressCallbacks(progress, run_folder.LogFile(claim.folder / run_folder.LOG))
        progress.record("run", {"folder": str(claim.folder), "state": claim.state})
        io.write(claim.work / BACKBONE, prepared.backbone)
        for note in prepared.notes:
            progress.note(note)
        budget = Budget(plan.budget_s, plan.work, began=began)
        extracted = extract_features(plan, claim, prepared, progress, cancel, budget)
        features_at = time.monotonic()
        choice = choose(extracted.context, budget)
        chosen_at = time.monotonic()
        choice, network, preprocess = build(choice, budget)
        model = _Model(network=network, preprocess=preprocess)
        tested = evaluate_on_test_set(extracted, model)
        seconds = {"features": features_at - began, "candidates": chosen_at - features_at}
        if (each := _prediction_seconds(extracted, model)) is not None:
            seconds["prediction"] = each
        seconds |= {"conclusion": time.monotonic() - chosen_at, "total": time.monotonic() - began}
        found = record(claim, prepared.opened, extracted, choice, model, tested, seconds)
    return FitOutcome(record=found, folder=where, resumed=claim.state == "unfinished", finished_before=False)


def prepare(plan: FitPlan, out: Path | None, progress: ProgressCallback) -> _Prepared:
    """Open the backbone, and hash and split the images."""
    labelled = dataset.read(plan.task, plan.data, plan.root)
    name, notes = plan.backbone, []
    if name is None and out is not None and (out / run_folder.WORK / BACKBONE).is_file():
        name = str(io.read(out / run_folder.WORK / BACKBONE))
    if name is None:
        name, why = suggest(labelled.index, plan, progress)
        notes.append(f"backbone {name}: {why}")
    opened = open_model(name, progress=progress)
    data = dataset.hash_and_split(labelled, seed=plan.seed, progress=progress, per_class=plan.per_class)
    return _Prepared(data=data, backbone=name, opened=opened, notes=tuple(filter(None, [*notes, opened.note])))


def extract_features(
    plan: FitPlan,
    claim: run_folder.Claim,
    prepared: _Prepared,
    progress: ProgressCallback,
    cancel: CancelToken,
    budget: Budget,
) -> _Extracted:
    """Run the training and validation images through the backbone once, and check that the test images can be read.

    If this and a linear head alone take longer than the budget, a note says so as soon as that is known.

    Raises:
        DataError: Too many images are unreadable, or too few are left. A fresh folder is then removed.
    """
    data, opened = prepared.data, prepared.opened
    image_s, after_s = _least(prepared)
    extractor = FeatureExtractor(
        name=opened.name,
        model=opened.model,
        preprocess=opened.preprocess,
        weights_sha256=opened.sha256,
        cache=paths.home() / "features",
        engine=plan.engine,
        device=pick(plan.device),
        fast=plan.fast_resize,
        progress=StartWatch(progress, budget, image_s=image_s, after_s=after_s),
    )
    try:
        readable, features = _readable(extractor, data, plan)
    except JobCancelled:
        raise
    except StriateError:
        run_folder.release(claim)
        raise
    done = features.filled
    per_image = done.seconds / done.computed if done.computed else image_s
    budget.reserve("test", busy() * CLOSING_S + len(readable.splits.test) * per_image)
    context = TransferContext(
        plan=plan,
        task=data.task,
        index=data.index,
        targets=data.targets,
        digests=data.hashes,
        train=readable.splits.train,
        validation=readable.splits.validation,
        pretrained=opened,
        features=features,
        device=extractor.device,
        work=claim.work,
        progress=progress,
        cancel=cancel,
    )
    return _Extracted(data=readable, context=context)


def _least(prepared: _Prepared) -> tuple[float, float]:
    """Estimated seconds of extracting the features of an image, and of a probe and the end of the run after that."""
    data, preprocess, model = prepared.data, prepared.opened.preprocess, prepared.opened.model
    layers = measure(model, (preprocess.in_channels, *preprocess.size)).layers
    labelled = len(data.splits.train) + len(data.splits.validation)
    width = max(row.output[0] for row in layers)
    image_s = sum(row.macs for row in layers) / MACS_PER_SECOND
    test_s = image_s * len(data.splits.test)
    return busy() * image_s, busy() * (probing_seconds(labelled, width, data.task.outputs) + test_s + CLOSING_S)


def _readable(extractor: FeatureExtractor, data: DataSet, plan: FitPlan) -> tuple[DataSet, Features]:
    """The data set without the images that turn out to be unreadable, and the features of the labelled images."""
    splits, index, progress = data.splits, data.index, extractor.progress
    most = math.floor(plan.max_unreadable * (len(index) - len(splits.unused)) + 1e-9)
    unreadable = {**data.unreadable}
    unreadable |= find_unreadable(
        index,
        data.hashes,
        splits.test,
        extractor.preprocess,
        cache=extractor.cache,
        fast=extractor.fast,
        max_unreadable=most,
        known_unreadable=unreadable,
        progress=progress,
    )
    labelled = np.sort(np.concatenate([splits.train, splits.validation]))
    features = extractor.extract(index, data.hashes, labelled, max_unreadable=most, known_unreadable=unreadable)
    done = features.filled
    progress.record(
        "features",
        {"computed": done.computed, "found": done.found, "seconds": done.seconds, "seconds_waited": done.waited_s},
    )
    unreadable |= done.unreadable
    left = {f.name: np.setdiff1d(getattr(splits, f.name), list(unreadable)) for f in dataclasses.fields(splits)}
    data.task.require(data.targets, train=left["train"])
    for note in notes_of(unreadable_images(index, unreadable)):
        progress.note(note)
    for name in ("validation", "test"):
        if not len(left[name]):
            raise DataError(f"no readable image is left for {name}", hint="add images: at least 5 of each class")
    return dataclasses.replace(data, splits=Splits(**left), unreadable=unreadable), features


def evaluate_on_test_set(extracted: _Extracted, model: _Model) -> Outputs:
    """Run the winner over the test images, which no earlier step used."""
    test = extracted.data.splits.test
    outputs = extracted.context.outputs(model.network, model.preprocess, test, "evaluating on the test set")
    hint = "put them back; the same command then resumes"
    run_files.require_readable(outputs.positions, outputs.unreadable, hint=hint)
    return outputs


def _prediction_seconds(extracted: _Extracted, model: _Model) -> float | None:
    context, test = extracted.context, extracted.data.splits.test
    module = PixelNetwork(model.network, model.preprocess)
    return prediction_seconds(module, model.preprocess, context.index, [int(p) for p in test], context.device)


def record(
    claim: run_folder.Claim,
    opened: Opened,
    extracted: _Extracted,
    choice: Choice,
    model: _Model,
    tested: Outputs,
    seconds: Mapping[str, float],
) -> FitRecord:
    """Write the model, the predictions, the report and ``metrics.json`` into the run's folder."""
    data, temperature = extracted.data, choice.winner.temperature
    seen = data.hashes_of((*data.splits.train, *data.splits.validation))
    write_set(claim.folder / trained.IMAGES, seen)
    trained.save(claim.folder, model.network, _card(extracted, opened, choice, model))
    found = _record(opened, extracted, choice, model, tested, seconds)
    names = [data.index.names[int(p)] for p in tested.positions]
    rows = data.task.rows(names, tested.values, data.labelled(tested.positions), temperature=temperature)
    run_files.write(claim.folder, found, rows, data.index)
    io.write(claim.folder / run_folder.METRICS, found)  # last: it says that the run is finished
    run_folder.finish(claim.folder)
    extracted.context.progress.record("finished", {f"test_{data.task.metric}": data.task.value(found.test)})
    return found


def _start(opened: Opened, choice: Choice) -> dict[str, str]:
    return opened.start if choice.winner.candidate.pretrained else {"weights": "random"}


def _card(extracted: _Extracted, opened: Opened, choice: Choice, model: _Model) -> trained.ModelCard:
    return trained.ModelCard(
        network=opened.name,
        options=opened.options,
        layer=choice.winner.candidate.layer,
        classes=extracted.data.task.output_names,
        task=extracted.data.task.name,
        preprocess=model.preprocess,
        temperature=choice.winner.temperature,
        start=_start(opened, choice),
        made={"verb": "fit", "data": dataset_file(extracted.context.plan.data)},
    )


def _record(
    opened: Opened,
    extracted: _Extracted,
    choice: Choice,
    model: _Model,
    tested: Outputs,
    seconds: Mapping[str, float],
) -> FitRecord:
    plan, data, winner = extracted.context.plan, extracted.data, choice.winner
    pretrained = winner.candidate.pretrained
    unreadable = {**data.unreadable, **tested.unreadable}
    splits = {name: np.setdiff1d(each, list(unreadable)) for name, each in dataclasses.asdict(data.splits).items()}
    issues = data.task.audit(data.index, data.targets, data.hashes, data.splits, unreadable)
    shape = (model.preprocess.in_channels, *model.preprocess.size)
    targets = data.labelled(tested.positions)
    return FitRecord(
        task=data.task.name,
        test=data.task.score(tested.values, targets, temperature=winner.temperature),
        validation=winner.record.validation,
        chosen=Chosen(
            backbone=opened.name,
            weights=opened.weights if pretrained else "random",
            strategy=winner.record.strategy,
            reused_stages=winner.record.reused_stages,
            reason=reason(choice),
            note=opened.note if pretrained else "",
        ),
        start=_start(opened, choice),
        candidates=tuple(each.record for each in choice.results),
        depth=choice.probe.rows,
        unprobed=choice.probe.left_out,
        data=run_files.summary(plan.data, data, splits, issues, len(unreadable)),
        cost=io.to_json(measure(model.network, shape).totals),
        engine=io.to_json(extracted.context.features.agreement),
        seconds=dict(seconds),
        seed=plan.seed,
        versions=versions(),
        plan=io.to_json(plan),
    )
