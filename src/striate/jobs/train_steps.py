"""The steps of a training from random weights: prepare the images and the network, train, test."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from striate.cache import keys
from striate.cache.decoded import Decoded
from striate.core.atomic import make_folder
from striate.core.cancel import CancelToken
from striate.core.device import native_bf16
from striate.core.errors import PlanError
from striate.core.events import ProgressCallback
from striate.core.preprocess import Preprocess
from striate.data.audit import notes_of, unreadable_images
from striate.data.headers import Headers, headers
from striate.data.index import ImageIndex
from striate.data.source import to_cut_from
from striate.inference.predict import predict_batches
from striate.jobs import run_files, run_folder
from striate.jobs.best_epoch import BATCH, BestEpoch
from striate.jobs.dataset import DataSet
from striate.jobs.step_memory import max_micro_batch
from striate.models import ImageModel
from striate.models.pixels import PixelNetwork
from striate.models.whiten import whiten
from striate.records.plans import RuntimeOptions, TrainPlan
from striate.records.recipes import Recipe
from striate.training import checkpoint, loop
from striate.training.loop import Trained
from striate.training.options import Hooks, Saving, TrainingOptions
from striate.training.ranks import Ranks
from striate.weights import trained


@dataclass(frozen=True, slots=True, eq=False)
class Run:
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
class Prepared:
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
class Tested:
    """Outputs on the test images.

    Args:
        outputs: A row each.
        positions: The images that they are of.
        unreadable: Test images that cannot be read, reason by position.
    """

    outputs: np.ndarray
    positions: np.ndarray
    unreadable: Mapping[int, str]


def prepare(work: Run, data: DataSet, network: PixelNetwork, preprocess: Preprocess) -> Prepared:
    """Decode the training and validation images, and whiten the first layer where the recipe asks for it."""
    recipe, splits, index = work.recipe, data.splits, data.index
    validates = work.plan.validate or recipe.schedule.kind == "plateau"
    train = splits.train if validates else np.sort(np.concatenate([splits.train, splits.validation]))
    validation = splits.validation if validates else splits.validation[:0]
    sizes = headers(index) if recipe.augment.crop_scale is not None else None
    cut_from = to_cut_from(preprocess, recipe.augment, sizes, train)
    # What images are cut from depends on their median size, which other images change.
    images, held_back = (
        Decoded(index, data.hashes, each, work.claim.work / f"{name}-{keys.of_folder(preprocess=each)}")
        for name, each in (("pixels", cut_from), ("validation", preprocess))
    )
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
    return Prepared(
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


def train(work: Run, prepared: Prepared) -> Trained:
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


def _saving(work: Run, prepared: Prepared) -> Saving:
    """Where the training's state is saved.

    Raises:
        PlanError: The folder has the state of a training on other images or targets, or by another recipe.
    """
    file, data = work.claim.work / "training.safetensors", prepared.data
    sets = {"images": prepared.train, "validation": prepared.validation}
    signature = keys.of_folder(
        plan=work.plan,
        recipe=work.recipe,
        targets={name: data.task.fingerprint(data.labelled(each)) for name, each in sets.items()},
        **{name: data.hashes_of(each) for name, each in sets.items()},
    )
    if file.exists() and checkpoint.facts(file).get("signature") != signature:
        raise PlanError(
            f"the run in {work.claim.folder} began with other images or labels, another recipe of that name, or other "
            "versions of the libraries that compute",
            hint=f"restore what changed, or choose another --out; to start again in this folder, delete {file}",
        )
    return Saving(file=file, signature=signature, every_s=work.runtime.save_every_s)


def _options(work: Run, prepared: Prepared) -> TrainingOptions:
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


def test(work: Run, prepared: Prepared) -> Tested:
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
    positions = np.concatenate([part[1] for part in parts])
    run_files.require_readable(positions, unreadable, hint="put them back; the same command then resumes")
    return Tested(
        outputs=np.concatenate([part[0] for part in parts]),
        positions=positions,
        unreadable=unreadable,
    )


def _note_unreadable(index: ImageIndex, unreadable: Mapping[int, str], progress: ProgressCallback) -> None:
    for note in notes_of(unreadable_images(index, unreadable)):
        progress.note(note)
