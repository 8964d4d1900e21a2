"""Trains a network from random weights: prepare, train, test, record."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from striate.core.cancel import CancelPoints, CancelToken
from striate.core.device import pick
from striate.core.draws import draws_from
from striate.core.errors import PlanError
from striate.core.events import NoProgress, ProgressCallback, ProgressCallbacks
from striate.core.preprocess import Preprocess
from striate.core.processes import launched
from striate.core.seed import derive
from striate.core.words import command_line
from striate.data.index import dataset_file, dataset_name
from striate.jobs import dataset, run_folder
from striate.jobs.train_record import TrainOutcome, record
from striate.jobs.train_steps import Run, prepare, test, train
from striate.models import REGISTRY
from striate.models.pixels import PixelNetwork, default_preprocess
from striate.models.whiten import first_convolution
from striate.records import io
from striate.records.plans import RuntimeOptions, TrainPlan
from striate.records.recipes import Recipe, title
from striate.records.results import TrainRecord
from striate.report.live import LivePage
from striate.tasks.base import Task
from striate.training.ranks import Ranks


def planned(where: Path) -> TrainPlan:
    """The plan that the run in a folder began with.

    Raises:
        PlanError: The folder holds no training run.
    """
    if not (where / run_folder.PLAN).is_file():
        start = command_line("striate", "train", "NAME", "DATA", "--out", where)
        raise PlanError(f"{where} holds no run to resume", hint=f"start one: {start}")
    there = run_folder.planned(where)
    if there.get("verb") != "train":
        raise PlanError(f"{where} holds a run of striate {there.get('verb')}", hint="that command resumes it")
    try:
        return io.from_json(TrainPlan, there["plan"])
    except (TypeError, ValueError) as error:
        raise PlanError(f"{where / run_folder.PLAN} is damaged or of another version: {error}") from error


def run(
    plan: TrainPlan,
    *,
    out: Path | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    runtime: RuntimeOptions | None = None,
    resume: bool = False,
) -> TrainOutcome:
    """Train a network, or resume a training that was stopped; both give the same weights.

    Without validation the schedule is fixed in advance and nothing is chosen during training, so no images are held
    back: all but the test images train. The processes of ``torchrun`` or ``accelerate launch`` share each step.

    Args:
        plan: What is asked.
        out: The run's folder; None takes the next free ``runs/<network>-<n>``.
        progress: Receives progress; None for silence.
        cancel: Asks the job to stop; training saves its state first. None never asks.
        runtime: Workers, saving and the like; None takes the defaults.
        resume: Whether there must be a run to resume.

    Raises:
        JobCancelled: `cancel` asked to stop.
        StriateError: As its subclasses say.
    """
    began, runtime, cancel = time.monotonic(), runtime or RuntimeOptions(), cancel or CancelToken()
    if out is not None and (finished := _finished(plan, out)) is not None:
        return finished
    if launched() > 1 and out is None:
        raise PlanError("several processes need one folder that they all know", hint="name it with --out")
    with run_folder.reserved(out, f"{plan.network}-{dataset_name(plan.data)}") as where:
        ranks = Ranks(pick(plan.device), trackers=runtime.trackers, folder=where / "trackers")
        progress = (progress or NoProgress()) if ranks.first else NoProgress()
        labelled = dataset.read(plan.task, plan.data, plan.root)
        recipe = plan.method()
        network, preprocess = _network(plan, recipe, labelled.task, ranks.device)
        data = dataset.hash_and_split(labelled, seed=plan.seed, progress=CancelPoints(progress, cancel))
        with _claimed(plan, where, ranks) as claim:
            progress = CancelPoints(_logged(plan, recipe, claim, ranks, progress, resume=resume), cancel)
            work = Run(plan, recipe, runtime, ranks, claim, progress, cancel, began)
            prepared = prepare(work, data, network, preprocess)
            return record(work, prepared, train(work, prepared), test(work, prepared))


def _finished(plan: TrainPlan, where: Path) -> TrainOutcome | None:
    found = run_folder.finished("train", plan, where, TrainRecord)
    if found is None:
        return None
    if (asked := io.to_json(plan.method())) != asked | found.recipe:
        raise PlanError(f"{where} was trained by another recipe of that name", hint="choose another --out")
    return TrainOutcome(record=found, folder=where)


def _network(plan: TrainPlan, recipe: Recipe, task: Task, device: torch.device) -> tuple[PixelNetwork, Preprocess]:
    """The network with random weights, and what is done to an image before it."""
    entry = REGISTRY.get(plan.network)
    with draws_from(derive(plan.seed, "weights")):
        model = task.network(entry)
    if not recipe.aux_weight:
        model.drop_aux()  # nothing would train them
    preprocess = default_preprocess(entry.input)
    network = PixelNetwork(model, preprocess).to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if recipe.whiten:
        first_convolution(network)  # a network without one is refused before anything is decoded
    return network, preprocess


@contextmanager
def _claimed(plan: TrainPlan, where: Path, ranks: Ranks) -> Iterator[run_folder.Claim]:
    """The run's folder, claimed by the first process for all."""
    if not ranks.first:
        ranks.wait()
        yield run_folder.look("train", plan, where)
        return
    with run_folder.claim("train", plan, where) as claim:
        ranks.wait()
        yield claim


def _logged(
    plan: TrainPlan, recipe: Recipe, claim: run_folder.Claim, ranks: Ranks, progress: ProgressCallback, *, resume: bool
) -> ProgressCallback:
    """Progress that also goes to the log file, the live page and the trackers; only the first process has any."""
    if not ranks.first:
        return progress
    log = run_folder.LogFile(claim.folder / run_folder.LOG)
    page = LivePage(
        claim.folder,
        network=plan.network,
        recipe=title(plan.recipe),
        data=dataset_file(plan.data),
        epochs=run_folder.logged(claim.folder / run_folder.LOG, "epoch"),
    )
    settings = {**io.to_json(plan), "recipe": plan.recipe, "method": io.to_json(recipe)}
    everywhere = ProgressCallbacks(progress, log, page, ranks.track(claim.folder.name, settings))
    everywhere.note(f"{page.path} shows the progress")
    everywhere.record("run", {"folder": str(claim.folder), "state": claim.state, "resume": resume})
    return everywhere
