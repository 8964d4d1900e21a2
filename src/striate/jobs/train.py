"""Trains a network from random weights: prepare, train, test, record."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from striate.cache import keys
from striate.cache.decoded import Decoded
from striate.core.atomic import make_folder
from striate.core.cancel import CancelPoints, CancelToken
from striate.core.device import native_bf16, pick
from striate.core.draws import draws_from
from striate.core.errors import PlanError
from striate.core.events import NoProgress, ProgressCallback, ProgressCallbacks
from striate.core.preprocess import Preprocess
from striate.core.processes import launched
from striate.core.seed import derive
from striate.data.digest import write_set
from striate.data.headers import Headers, headers
from striate.data.index import ImageIndex
from striate.inference.predict import predict_batches
from striate.jobs import dataset, run_files, run_folder
from striate.jobs.best_epoch import BATCH, BestEpoch
from striate.jobs.dataset import DataSet
from striate.jobs.step_memory import max_micro_batch
from striate.jobs.versions import versions
from striate.models import REGISTRY, ImageModel
from striate.models.pixels import PixelNetwork, default_preprocess
from striate.records import io
from striate.records.plans import RuntimeOptions, TrainPlan
from striate.records.recipes import Recipe, title
from striate.records.results import TrainRecord
from striate.report.live import LivePage
from striate.sizing import measure
from striate.tasks.base import Task
from striate.tasks.classify.source import to_cut_from
from striate.tasks.classify.whiten import first_convolution, whiten
from striate.training import checkpoint, loop
from striate.training.loop import Trained
from striate.training.options import Hooks, Saving, TrainingOptions
from striate.training.ranks import Ranks
from striate.training.schedule import cycle_ends
from striate.weights import trained


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOutcome:
    """A finished run: its record and its folder."""

    record: TrainRecord
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Run:
    """What every step of the job works with.

    Args:
        plan: What is asked.
        recipe: The plan's recipe with the plan's changes.
        runtime: Workers, saving and the like.
        ranks: The processes that train together.
        claim: The run's folder.
        progress: Receives progress, and stops the job at its steps when that was asked.
        cancel: Asks the job to stop.
        began: When it began, by `time.monotonic`.
    """

    plan: TrainPlan
    recipe: Recipe
    runtime: RuntimeOptions
    ranks: Ranks
    claim: run_folder.Claim
    progress: ProgressCallback
    cancel: CancelToken
    began: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Prepared:
    """Decoded images and a network with its first weights.

    Args:
        data: The images and their splits.
        network: On the device to train on.
        preprocess: What is done to an image before the network.
        images: The decoded training images.
        train: Positions of those that can be read.
        validation_images: The decoded validation images.
        validation: Positions of those that can be read; empty without validation.
        unreadable: Images that cannot be read, reason by position.
        headers: Sizes of the images, for recipes that crop; None for others.
    """

    data: DataSet
    network: PixelNetwork
    preprocess: Preprocess
    images: Decoded
    train: np.ndarray
    validation_images: Decoded
    validation: np.ndarray
    unreadable: Mapping[int, str]
    headers: Headers | None

    @property
    def model(self) -> ImageModel:
        """The network behind the preprocessing."""
        return self.network.model


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Tested:
    """Outputs on the test images.

    Args:
        outputs: A row each.
        positions: The images that they are of.
        unreadable: Test images that cannot be read, reason by position.
    """

    outputs: np.ndarray
    positions: np.ndarray
    unreadable: Mapping[int, str]


def planned(where: Path) -> TrainPlan:
    """The plan that the run in a folder began with.

    Raises:
        PlanError: The folder holds no training run.
    """
    if not (where / run_folder.PLAN).is_file():
        raise PlanError(
            f"{where} holds no run to resume", hint="start one: striate train NAME DATA --out " + str(where)
        )
    there = run_folder.planned(where)
    if there.get("verb") != "train":
        raise PlanError(f"{where} holds a run of striate {there.get('verb')}", hint="that command resumes it")
    try:
        return io.from_json(TrainPlan, there["plan"])
    except (TypeError, ValueError) as error:
        raise PlanError(f"{where / run_folder.PLAN} is damaged or of another version: {error}") from error


def run(
    plan: TrainPlan,
    out: Path | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    *,
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
    with run_folder.reserved(out, f"{plan.network}-{Path(plan.data).name.split('.')[0]}") as where:
        ranks = Ranks(pick(plan.device), trackers=runtime.trackers, folder=where / "trackers")
        progress = (progress or NoProgress()) if ranks.first else NoProgress()
        labelled = dataset.read(plan.task, plan.data, plan.root)
        recipe = plan.method()
        network, preprocess = _network(plan, recipe, labelled.task, ranks.device)
        data = dataset.hash_and_split(labelled, seed=plan.seed, progress=CancelPoints(progress, cancel))
        with _claimed(plan, where, ranks) as claim:
            work = _Run(
                plan=plan,
                recipe=recipe,
                runtime=runtime,
                ranks=ranks,
                claim=claim,
                progress=CancelPoints(_logged(plan, recipe, claim, ranks, progress, resume=resume), cancel),
                cancel=cancel,
                began=began,
            )
            prepared = prepare(work, data, network, preprocess)
            result = train(work, prepared)
            tested = test(work, prepared)
            return record(work, prepared, result, tested)


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
        model.aux.clear()  # nothing would train them
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
        data=Path(plan.data).name,
        epochs=run_folder.logged(claim.folder / run_folder.LOG, "epoch"),
    )
    settings = {**io.to_json(plan), "recipe": plan.recipe, "method": io.to_json(recipe)}
    everywhere = ProgressCallbacks(progress, log, page, ranks.track(claim.folder.name, settings))
    everywhere.note(f"{page.path} shows the progress")
    everywhere.record("run", {"folder": str(claim.folder), "state": claim.state, "resume": resume})
    return everywhere


def prepare(work: _Run, data: DataSet, network: PixelNetwork, preprocess: Preprocess) -> _Prepared:
    """Decode the training and validation images, and whiten the first layer where the recipe asks for it."""
    recipe, splits, index = work.recipe, data.splits, data.index
    validates = work.plan.validate or recipe.schedule.kind == "plateau"
    train = splits.train if validates else np.sort(np.concatenate([splits.train, splits.validation]))
    validation = splits.validation if validates else splits.validation[:0]
    sizes = headers(index) if recipe.augment.crop_scale is not None else None
    cut_from = to_cut_from(preprocess, recipe.augment, sizes, train)
    images = Decoded(index, data.hashes, cut_from, work.claim.work / "pixels")
    held_back = Decoded(index, data.hashes, preprocess, work.claim.work / "validation")
    unreadable = data.unreadable
    if work.ranks.first:
        most = math.floor(work.runtime.max_unreadable * len(index) + 1e-9)
        for store, positions in ((images, train), (held_back, validation)):
            unreadable = store.decode(positions, work.progress, max_unreadable=most, known_unreadable=unreadable)
        _note_unreadable(index, unreadable, work.progress)
    work.ranks.wait()
    kept = images.readable(train)
    if recipe.whiten:
        whiten(network, images.pixels, images.rows(kept))
    return _Prepared(
        data=data,
        network=network,
        preprocess=preprocess,
        images=images,
        train=kept,
        validation_images=held_back,
        validation=held_back.readable(validation),
        unreadable=unreadable,
        headers=sizes,
    )


def train(work: _Run, prepared: _Prepared) -> Trained:
    """Train the network; its weights are then those of the last epoch, or with validation those of the best."""
    plan, recipe, ranks, folder = work.plan, work.recipe, work.ranks, work.claim.folder
    task, model = prepared.data.task, prepared.model
    saving = _saving(work, prepared)
    best = None
    if plan.validate or recipe.schedule.kind == "plateau":
        validation = prepared.validation
        targets = prepared.data.labelled(validation)
        file = work.claim.work / "best.safetensors"
        best = BestEpoch(prepared.network, task, prepared.validation_images, validation, targets, ranks, file)

    def snapshot(number: int) -> None:
        if ranks.first:
            trained.save_weights(make_folder(folder / trained.SNAPSHOTS) / f"{number}.safetensors", model)

    result = loop.train(
        prepared.network,
        task.source(
            prepared.images.pixels,
            prepared.data.labelled(prepared.train),
            recipe.augment,
            seed=plan.seed,
            rows=prepared.images.rows(prepared.train),
            size=prepared.preprocess.size,
            proportions=None if prepared.headers is None else prepared.headers.proportions(prepared.train),
        ),
        recipe,
        _options(work, prepared),
        loss=task.loss(recipe, prepared.data.labelled(prepared.train)),
        saving=saving,
        hooks=Hooks(progress=work.progress, cancel=work.cancel, evaluate=best, snapshot=snapshot, metric=task.metric),
        ranks=ranks,
    )
    work.progress.record("trained", {"step": result.resumed_at, "steps": result.steps, "seconds": result.seconds})
    if best is not None:
        if ranks.first:
            trained.save_weights(folder / trained.LAST, model)
        model.load_state_dict(checkpoint.read(best.file)[0])
    return result


def _saving(work: _Run, prepared: _Prepared) -> Saving:
    """Where the training's state is saved.

    Raises:
        PlanError: The folder has the state of a training on other images or by another recipe.
    """
    file = work.claim.work / "training.safetensors"
    signature = keys.of_folder(plan=work.plan, recipe=work.recipe, images=prepared.data.hashes_of(prepared.train))
    if file.exists() and checkpoint.facts(file).get("signature") != signature:
        raise PlanError(
            f"the run in {work.claim.folder} began with other images, another recipe of that name, or other versions "
            "of the libraries that compute",
            hint=f"restore what changed, or choose another --out; to start again in this folder, delete {file}",
        )
    return Saving(file=file, signature=signature, every_s=work.runtime.save_every_s)


def _options(work: _Run, prepared: _Prepared) -> TrainingOptions:
    """How this machine trains."""
    plan, recipe, device, task = work.plan, work.recipe, work.ranks.device, prepared.data.task
    native = all(work.ranks.gather(native_bf16(device)))
    precision = plan.precision if plan.precision != "auto" else "bf16" if native else "float32"
    preprocess = prepared.preprocess
    return TrainingOptions(
        seed=plan.seed,
        sampling=task.sampling(recipe, prepared.data.labelled(prepared.train)),
        precision=precision,
        max_micro_batch=max_micro_batch(
            prepared.model, (preprocess.in_channels, *preprocess.size), recipe, precision, device
        ),
        compiled=work.runtime.compiled,
        workers=work.runtime.workers,
    )


def test(work: _Run, prepared: _Prepared) -> _Tested:
    """Run the network over the test images; each process runs a part, and every image counts once."""
    index, ranks = prepared.data.index, work.ranks
    outputs = predict_batches(
        prepared.network.eval(),
        prepared.preprocess,
        index,
        ranks.share([int(p) for p in prepared.data.splits.test]),
        width=prepared.data.task.outputs,
        progress=work.progress,
        phase="evaluating on the test set",
        batch=BATCH,
        device=ranks.device,
    )
    parts = ranks.gather((outputs.values, outputs.positions, outputs.unreadable))
    unreadable = {position: why for part in parts for position, why in part[2].items()}
    _note_unreadable(index, unreadable, work.progress)
    return _Tested(
        outputs=np.concatenate([part[0] for part in parts]),
        positions=np.concatenate([part[1] for part in parts]),
        unreadable=unreadable,
    )


def record(work: _Run, prepared: _Prepared, result: Trained, tested: _Tested) -> TrainOutcome:
    """Let the first process write the model, the predictions, the report and ``metrics.json`` into the run's folder."""
    folder, data = work.claim.folder, prepared.data
    if not work.ranks.first:
        work.ranks.finish()
        return TrainOutcome(record=run_folder.record(TrainRecord, folder), folder=folder)
    write_set(folder / trained.IMAGES, data.hashes_of((*prepared.train, *prepared.validation)))
    trained.save(folder, prepared.model.cpu(), _card(work.plan, prepared))
    targets = data.labelled(tested.positions)
    found = _record(work, prepared, result, tested)
    names = [data.index.names[int(p)] for p in tested.positions]
    run_files.write(folder, found, data.task.rows(names, tested.outputs, targets), data.index)
    io.write(folder / run_folder.METRICS, found)  # last: it says that the run is finished
    run_folder.finish(folder)
    work.ranks.finish()
    return TrainOutcome(record=found, folder=folder)


def _card(plan: TrainPlan, prepared: _Prepared) -> trained.ModelCard:
    return trained.ModelCard(
        network=REGISTRY.get(plan.network).name,
        options={},
        layer=None,
        preprocess=prepared.preprocess,
        temperature=1.0,
        start={"weights": "random"},
        made={"verb": "train", "data": Path(plan.data).name, "recipe": title(plan.recipe)},
        classes=prepared.data.task.output_names,
        task=prepared.data.task.name,
    )


def _record(work: _Run, prepared: _Prepared, result: Trained, tested: _Tested) -> TrainRecord:
    plan, data, preprocess = work.plan, prepared.data, prepared.preprocess
    metric = data.task.metric
    best = max(result.curve, key=lambda row: row[metric]) if len(prepared.validation) else None
    unreadable = {**prepared.unreadable, **tested.unreadable}
    parts = {"train": prepared.train, "validation": prepared.validation, "test": tested.positions}
    issues = data.task.audit(data.index, data.targets, data.hashes, data.splits, unreadable, seen=prepared.headers)
    return TrainRecord(
        task=data.task.name,
        network=REGISTRY.get(plan.network).name,
        test=data.task.score(tested.outputs, data.labelled(tested.positions)),
        data=run_files.summary(plan.data, data, parts, issues, len(unreadable)),
        recipe=io.to_json(work.recipe),
        curve=result.curve,
        steps=result.steps,
        resumes=result.resumes,
        halved_at=result.halved_at,
        precision=result.precision,
        micro_batches=result.micro_batches,
        best_epoch=int(best["epoch"]) if best else None,
        validation=best[metric] if best else None,
        snapshots=len(cycle_ends(work.recipe.schedule, result.steps)),
        cost=io.to_json(measure(prepared.model, (preprocess.in_channels, *preprocess.size)).totals),
        seconds={"total": time.monotonic() - work.began, "training": result.seconds},
        seed=plan.seed,
        versions=versions(),
        plan=io.to_json(plan),
    )


def _note_unreadable(index: ImageIndex, unreadable: Mapping[int, str], progress: ProgressCallback) -> None:
    for position, why in sorted(unreadable.items()):
        progress.note(f"left out {index.names[position]}: {why}")
