"""The main job: labelled images become a classifier, with the evidence for trusting it."""

from __future__ import annotations

import dataclasses
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.cache.fill import unread
from striate.core import paths
from striate.core.device import pick
from striate.core.errors import DataError, StriateError
from striate.core.events import ProgressCallback, ProgressCallbacks
from striate.data.digest import digests, write_set
from striate.data.index import scan
from striate.data.split import Splits, split
from striate.inference.predict import predict_batches
from striate.jobs import run_files, run_folder
from striate.jobs.backbone import suggest
from striate.jobs.versions import versions
from striate.models import REGISTRY
from striate.models.pixels import PixelNetwork
from striate.records import io
from striate.records.plans import FitPlan
from striate.records.results import Chosen, FitRecord, Prediction
from striate.sizing import measure
from striate.tasks.classify.task import Classification
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
        resumed: Whether it went on with an unfinished run.
        finished_before: Whether it was finished before it was asked for; nothing was computed.
    """

    record: FitRecord
    folder: Path
    resumed: bool
    finished_before: bool


@run_folder.at_work()
def run(plan: FitPlan, out: Path | None, progress: ProgressCallback) -> FitOutcome:
    """Carry out a plan, or go on with it.

    Args:
        plan: What is asked.
        out: The run's folder; None takes the next free ``runs/<data>-<n>``.
        progress: Hears of progress.

    Raises:
        DataError: The images cannot be used as they are.
        PlanError: The folder holds another plan's run.
        StorageError: Something cannot be written.
        StriateError: Others, as named in `core.errors`.
    """
    began = time.monotonic()
    if out is not None and run_folder.look("fit", plan, out).state == "finished":
        record = run_folder.record(FitRecord, out)
        shutil.rmtree(out / run_folder.WORK, ignore_errors=True)  # where a kill came just before
        return FitOutcome(record=record, folder=out, resumed=False, finished_before=True)
    index = scan(plan.data, root=plan.root)
    task, targets = Classification.read(index)
    name, notes = plan.backbone, []
    if name is None:
        name, why = suggest(index)
        notes.append(f"backbone {name}: {why}")
    opened = open_model(name, progress=progress)
    device = pick(plan.device)
    hashes = digests(index, progress)
    unreadable = unread(index, hashes)
    strata = task.strata(targets)
    splits = split(index, hashes, seed=plan.seed, strata=strata, per_class=plan.per_class, exclude=unreadable)
    # Only now, so that a slip of the pen in the plan leaves no folder behind that would refuse the mended plan.
    claim = run_folder.claim("fit", plan, out or run_folder.next_free(Path(plan.data).name.split(".")[0]))
    progress = ProgressCallbacks(progress, run_folder.LogFile(claim.folder / run_folder.LOG))
    progress.record("run", {"folder": str(claim.folder), "state": claim.state})
    for note in filter(None, [*notes, opened.note]):
        progress.note(note)

    clock = Clock(plan.budget_s)
    context = TransferContext(
        plan=plan,
        index=index,
        task=task,
        targets=targets,
        digests=hashes,
        train=splits.train,
        validation=splits.validation,
        entry=REGISTRY.get(opened.name),
        options=opened.options,
        model=opened.model,
        preprocess=opened.preprocess,
        weights_sha256=opened.sha256,
        device=device,
        work=claim.work,
        cache=paths.home() / "features",
        progress=progress,
    )
    features = CachedFeatures(context)
    try:
        splits, unreadable = _every_image_once(context, features, splits, unreadable)
    except StriateError:
        run_folder.release(claim)
        raise
    prepared = time.monotonic()
    advisor = Advisor(context, features, clock)
    winner, attempts = advise(advisor)
    chosen = time.monotonic()
    record, predictions = _conclude(
        plan, context, opened, splits, unreadable, features, advisor, winner, attempts, claim
    )
    seconds = {"total": time.monotonic() - began, "features": prepared - began, "candidates": chosen - prepared}
    record = dataclasses.replace(record, seconds=seconds | {"conclusion": time.monotonic() - chosen})
    run_files.write(claim.folder, record, predictions, index)
    io.write(claim.folder / run_folder.METRICS, record)  # last: it says that the run is finished
    shutil.rmtree(claim.work, ignore_errors=True)
    progress.record("finished", {"test_top1": record.test.top1})
    return FitOutcome(record=record, folder=claim.folder, resumed=claim.state == "unfinished", finished_before=False)


def _every_image_once(
    context: TransferContext, features: CachedFeatures, splits: Splits, unread: dict[int, str]
) -> tuple[Splits, dict[int, str]]:
    """The cached pass, and a look at the test images; unreadable ones are out of the split afterwards.

    Returns:
        The split of what can be read, and the reason for every image that cannot.
    """
    index, progress = context.index, context.progress
    most = math.floor(context.plan.max_unreadable * (len(index) - len(splits.unused)) + 1e-9)
    unreadable = unread | context.unreadable(splits.test, most=most, known_unreadable=unread)
    done = features.run(
        np.sort(np.concatenate([splits.train, splits.validation])), max_unreadable=most, known_unreadable=unreadable
    )
    progress.record(
        "features",
        {"computed": done.computed, "found": done.found, "seconds": done.seconds, "seconds_waited": done.waited_s},
    )
    unreadable |= done.unreadable
    splits = _without(splits, unreadable)
    context.train, context.validation = splits.train, splits.validation
    _require_enough(context, splits)
    return splits, unreadable


def _without(splits: Splits, barred: dict[int, str]) -> Splits:
    parts = {f.name: getattr(splits, f.name) for f in dataclasses.fields(splits)}
    return Splits(**{name: np.setdiff1d(each, list(barred)) for name, each in parts.items()})


def _require_enough(context: TransferContext, splits: Splits) -> None:
    context.task.require(context.targets, train=splits.train)
    for name, positions in (("validation", splits.validation), ("test", splits.test)):
        if not len(positions):
            raise DataError(f"no readable image is left for {name}", hint="add images: at least 5 of each class")


def _conclude(
    plan: FitPlan,
    context: TransferContext,
    opened: Opened,
    splits: Splits,
    unreadable: dict[int, str],
    features: CachedFeatures,
    advisor: Advisor,
    winner: Attempt,
    attempts: list[Attempt],
    claim: run_folder.Claim,
) -> tuple[FitRecord, list[Prediction]]:
    """Train the winner on all labelled images, look at the test images once, and write the model down."""
    index, progress = context.index, context.progress
    assert winner.build is not None
    assert winner.row.validation is not None
    model, preprocess = winner.build()
    layer = None if winner.row.strategy == "scratch" else advisor.layer
    start = {"weights": "random"} if winner.row.strategy == "scratch" else opened.start
    card = trained.ModelCard(
        network=opened.name,
        options=opened.options,
        layer=layer,
        classes=context.task.classes,
        preprocess=preprocess,
        temperature=winner.temperature,
        start=start,
        made={"verb": "fit", "data": Path(plan.data).name},
    )
    write_set(claim.folder / trained.IMAGES, [context.digests[p] for p in (*splits.train, *splits.validation)])
    trained.save(claim.folder, model, card)
    outputs = predict_batches(
        PixelNetwork(model, preprocess).eval(),
        preprocess,
        index,
        splits.test,
        width=context.classes,
        progress=progress,
        phase="evaluating on the test set",
        device=context.device,
        fast=plan.fast_resize,
    )
    unreadable = unreadable | outputs.unreadable
    task, labels = context.task, context.labels(outputs.positions)
    test = task.score(outputs.values, labels, temperature=winner.temperature)
    names = [index.names[int(p)] for p in outputs.positions]
    predictions = task.rows(names, outputs.values, labels, temperature=winner.temperature)
    issues = task.audit(index, context.targets, context.digests, splits, unreadable)
    parts = {
        name: np.array([p for p in each if p not in unreadable], dtype=np.int64)
        for name, each in dataclasses.asdict(splits).items()
    }
    agreement = features.agreement
    record = FitRecord(
        test=test,
        validation=winner.row.validation,
        chosen=Chosen(
            backbone=opened.name,
            weights="random" if winner.row.strategy == "scratch" else opened.weights,
            strategy=winner.row.strategy,
            reused_stages=winner.row.reused_stages,
            reason=reason(winner, attempts, folds=len(advisor.folds)),
            note="" if winner.row.strategy == "scratch" else opened.note,
        ),
        start=start,
        candidates=tuple(each.row for each in attempts),
        depth=advisor.depth,
        data=run_files.summary(plan.data, task, context.targets, parts, issues, len(unreadable)),
        cost=io.to_json(measure(model, (preprocess.in_channels, *preprocess.size)).totals),
        engine=io.to_json(agreement),
        seconds={},
        seed=plan.seed,
        versions=versions(),
        plan=io.to_json(plan),
    )
    return record, predictions
