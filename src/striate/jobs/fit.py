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

from striate.core import paths
from striate.core.cancel import CancelPoints, CancelToken
from striate.core.device import pick
from striate.core.errors import DataError, JobCancelled, StriateError
from striate.core.events import NoProgress, ProgressCallback, ProgressCallbacks
from striate.core.preprocess import Preprocess
from striate.data.digest import write_set
from striate.data.split import Splits
from striate.inference.predict import Outputs, predict_batches
from striate.jobs import dataset, run_files, run_folder
from striate.jobs.backbone import suggest
from striate.jobs.dataset import DataSet
from striate.jobs.versions import versions
from striate.models import REGISTRY, ImageModel
from striate.models.pixels import PixelNetwork
from striate.records import io
from striate.records.plans import FitPlan
from striate.records.results import Chosen, FitRecord
from striate.sizing import measure
from striate.tasks.base import value
from striate.transfer.advisor import Advisor, Attempt, advise
from striate.transfer.clock import Clock
from striate.transfer.context import CachedFeatures, TransferContext
from striate.transfer.explain import reason
from striate.weights import Opened, open_model, trained


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
        opened: The pretrained network.
        notes: What a person should know of the backbone.
    """

    data: DataSet
    opened: Opened
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Extracted:
    """Features of every readable image.

    Args:
        data: The images; the splits hold readable ones only.
        context: What every candidate shares.
        features: Of the training and validation images.
    """

    data: DataSet
    context: TransferContext
    features: CachedFeatures


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Choice:
    """The candidates, and which of them did best on the validation images.

    Args:
        winner: The best.
        attempts: All, the winner among them.
        advisor: What tried them.
    """

    winner: Attempt
    attempts: list[Attempt]
    advisor: Advisor

    @property
    def from_scratch(self) -> bool:
        """Whether the winner uses no pretrained weights."""
        return self.winner.row.strategy == "scratch"


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
    prepared = prepare(plan, progress)
    # The folder is claimed only now: a typing error in the plan leaves none that would refuse the corrected plan.
    with (
        run_folder.reserved(out, Path(plan.data).name.split(".")[0]) as where,
        run_folder.claim("fit", plan, where) as claim,
    ):
        progress = ProgressCallbacks(progress, run_folder.LogFile(claim.folder / run_folder.LOG))
        progress.record("run", {"folder": str(claim.folder), "state": claim.state})
        for note in prepared.notes:
            progress.note(note)
        clock = Clock(plan.budget_s)
        extracted = extract_features(plan, claim, prepared, progress, cancel)
        features_at = time.monotonic()
        choice = choose(extracted, clock)
        chosen_at = time.monotonic()
        model = train_winner(choice)
        tested = evaluate_on_test_set(extracted, model)
        seconds = {"features": features_at - began, "candidates": chosen_at - features_at}
        seconds |= {"conclusion": time.monotonic() - chosen_at, "total": time.monotonic() - began}
        found = record(claim, prepared.opened, extracted, choice, model, tested, seconds)
    return FitOutcome(record=found, folder=where, resumed=claim.state == "unfinished", finished_before=False)


def prepare(plan: FitPlan, progress: ProgressCallback) -> _Prepared:
    """Open the backbone, and hash and split the images."""
    labelled = dataset.read(plan.task, plan.data, plan.root)
    name, notes = plan.backbone, []
    if name is None:
        name, why = suggest(labelled.index)
        notes.append(f"backbone {name}: {why}")
    opened = open_model(name, progress=progress)
    data = dataset.hash_and_split(labelled, seed=plan.seed, progress=progress, per_class=plan.per_class)
    return _Prepared(data=data, opened=opened, notes=tuple(filter(None, [*notes, opened.note])))


def extract_features(
    plan: FitPlan, claim: run_folder.Claim, prepared: _Prepared, progress: ProgressCallback, cancel: CancelToken
) -> _Extracted:
    """Run the training and validation images through the backbone once, and check that the test images can be read.

    Raises:
        DataError: Too many images are unreadable, or too few are left. A fresh folder is then removed.
    """
    data, opened = prepared.data, prepared.opened
    context = TransferContext(
        plan=plan,
        index=data.index,
        task=data.task,  # pyright: ignore[reportArgumentType]  # transfer knows classification alone so far
        targets=data.targets,
        digests=data.hashes,
        train=data.splits.train,
        validation=data.splits.validation,
        entry=REGISTRY.get(opened.name),
        options=opened.options,
        model=opened.model,
        preprocess=opened.preprocess,
        weights_sha256=opened.sha256,
        device=pick(plan.device),
        work=claim.work,
        cache=paths.home() / "features",
        progress=progress,
        cancel=cancel,
    )
    features = CachedFeatures(context)
    try:
        readable = _readable(context, features, data)
    except JobCancelled:
        raise
    except StriateError:
        run_folder.release(claim)
        raise
    context.train, context.validation = readable.splits.train, readable.splits.validation
    return _Extracted(data=readable, context=context, features=features)


def _readable(context: TransferContext, features: CachedFeatures, data: DataSet) -> DataSet:
    """The data set without the images that turn out to be unreadable while features are extracted."""
    splits, index, progress = data.splits, data.index, context.progress
    most = math.floor(context.plan.max_unreadable * (len(index) - len(splits.unused)) + 1e-9)
    unreadable = {**data.unreadable}
    unreadable |= context.unreadable(splits.test, most=most, known_unreadable=unreadable)
    done = features.run(
        np.sort(np.concatenate([splits.train, splits.validation])), max_unreadable=most, known_unreadable=unreadable
    )
    progress.record(
        "features",
        {"computed": done.computed, "found": done.found, "seconds": done.seconds, "seconds_waited": done.waited_s},
    )
    unreadable |= done.unreadable
    left = {f.name: np.setdiff1d(getattr(splits, f.name), list(unreadable)) for f in dataclasses.fields(splits)}
    data.task.require(data.targets, train=left["train"])
    for name in ("validation", "test"):
        if not len(left[name]):
            raise DataError(f"no readable image is left for {name}", hint="add images: at least 5 of each class")
    return dataclasses.replace(data, splits=Splits(**left), unreadable=unreadable)


def choose(extracted: _Extracted, clock: Clock) -> _Choice:
    """Try the candidates, and take the best on the validation images."""
    advisor = Advisor(extracted.context, extracted.features, clock)
    winner, attempts = advise(advisor)
    return _Choice(winner=winner, attempts=attempts, advisor=advisor)


def train_winner(choice: _Choice) -> _Model:
    """Train the winner on the training and validation images together."""
    assert choice.winner.build is not None
    network, preprocess = choice.winner.build()
    return _Model(network=network, preprocess=preprocess)


def evaluate_on_test_set(extracted: _Extracted, model: _Model) -> Outputs:
    """Run the winner over the test images, which nothing has looked at before."""
    context = extracted.context
    return predict_batches(
        PixelNetwork(model.network, model.preprocess).eval(),
        model.preprocess,
        context.index,
        extracted.data.splits.test,
        width=extracted.data.task.outputs,
        progress=context.progress,
        phase="evaluating on the test set",
        device=context.device,
        fast=context.plan.fast_resize,
    )


def record(
    claim: run_folder.Claim,
    opened: Opened,
    extracted: _Extracted,
    choice: _Choice,
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
    extracted.context.progress.record("finished", {f"test_{data.task.metric}": value(data.task, found.test)})
    return found


def _start(opened: Opened, choice: _Choice) -> dict[str, str]:
    return {"weights": "random"} if choice.from_scratch else opened.start


def _card(extracted: _Extracted, opened: Opened, choice: _Choice, model: _Model) -> trained.ModelCard:
    return trained.ModelCard(
        network=opened.name,
        options=opened.options,
        layer=None if choice.from_scratch else choice.advisor.layer,
        classes=extracted.data.classes,
        preprocess=model.preprocess,
        temperature=choice.winner.temperature,
        start=_start(opened, choice),
        made={"verb": "fit", "data": Path(extracted.context.plan.data).name},
    )


def _record(
    opened: Opened,
    extracted: _Extracted,
    choice: _Choice,
    model: _Model,
    tested: Outputs,
    seconds: Mapping[str, float],
) -> FitRecord:
    plan, data, winner, advisor = extracted.context.plan, extracted.data, choice.winner, choice.advisor
    assert winner.row.validation is not None
    unreadable = {**data.unreadable, **tested.unreadable}
    splits = {name: np.setdiff1d(each, list(unreadable)) for name, each in dataclasses.asdict(data.splits).items()}
    issues = data.task.audit(data.index, data.targets, data.hashes, data.splits, unreadable)
    shape = (model.preprocess.in_channels, *model.preprocess.size)
    targets = data.labelled(tested.positions)
    return FitRecord(
        test=data.task.score(tested.values, targets, temperature=winner.temperature),
        validation=winner.row.validation,
        chosen=Chosen(
            backbone=opened.name,
            weights="random" if choice.from_scratch else opened.weights,
            strategy=winner.row.strategy,
            reused_stages=winner.row.reused_stages,
            reason=reason(winner, choice.attempts, folds=len(advisor.folds)),
            note="" if choice.from_scratch else opened.note,
        ),
        start=_start(opened, choice),
        candidates=tuple(each.row for each in choice.attempts),
        depth=advisor.depth,
        data=run_files.summary(plan.data, data, splits, issues, len(unreadable)),
        cost=io.to_json(measure(model.network, shape).totals),
        engine=io.to_json(extracted.features.agreement),
        seconds=dict(seconds),
        seed=plan.seed,
        versions=versions(),
        plan=io.to_json(plan),
    )
