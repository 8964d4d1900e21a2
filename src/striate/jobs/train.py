"""Trains a network from random weights."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch

from striate.cache import keys
from striate.cache.decoded import Decoded
from striate.cache.fill import unread
from striate.core.atomic import make_folder
from striate.core.device import free_bytes, native_bf16, pick
from striate.core.errors import PlanError
from striate.core.events import NoProgress, ProgressCallback, ProgressCallbacks
from striate.core.preprocess import Preprocess
from striate.core.seed import derive
from striate.data.digest import digests, write_set
from striate.data.headers import headers
from striate.data.index import ImageIndex, scan
from striate.data.split import split
from striate.inference import predict as running
from striate.jobs import run_files, run_folder
from striate.jobs.versions import versions
from striate.models import REGISTRY
from striate.models.pixels import PixelNetwork, default_preprocess
from striate.records import io
from striate.records.plans import RuntimeOptions, TrainPlan
from striate.records.recipes import Augment, Recipe, title
from striate.records.results import TrainRecord
from striate.report.live import LivePage
from striate.sizing import measure
from striate.sizing.memory import largest_batch, peak_bytes
from striate.sizing.trace import on_meta
from striate.tasks.classify.source import PixelSource, to_cut_from
from striate.tasks.classify.task import Classification
from striate.tasks.classify.whiten import first_convolution, whiten
from striate.training import checkpoint
from striate.training.loop import train
from striate.training.ranks import Ranks, launched
from striate.training.schedule import cycle_ends
from striate.weights import trained

_EVALUATED = 100
"""Images at a time in evaluation."""
MOST_OF_FREE = 0.9
"""Share of free memory that a step is planned to take: kernels need room too, and neighbours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOutcome:
    """A finished run: its record and its folder."""

    record: TrainRecord
    folder: Path


def planned(where: Path) -> TrainPlan:
    """The plan that a folder's run began with.

    Raises:
        PlanError: The folder holds no training run.
    """
    if not (where / run_folder.PLAN).is_file():
        raise PlanError(
            f"{where} holds no run to go on with", hint="begin one: striate train NAME DATA --out " + str(where)
        )
    there = run_folder.planned(where)
    if there.get("verb") != "train":
        raise PlanError(f"{where} holds a run of striate {there.get('verb')}", hint="that command goes on with it")
    try:
        return io.from_json(TrainPlan, there["plan"])
    except (TypeError, ValueError) as error:
        raise PlanError(f"{where / run_folder.PLAN} is damaged or of another version: {error}") from error


@run_folder.at_work()
def run(
    plan: TrainPlan,
    out: Path | None,
    progress: ProgressCallback,
    *,
    runtime: RuntimeOptions | None = None,
    resume: bool = False,
) -> TrainOutcome:
    """Train, or go on with a training that was stopped, to the same weights.

    Without validation the schedule is fixed beforehand and nothing is chosen on the way, so no images are held back:
    all but the test images train. Started by ``torchrun`` or ``accelerate launch``, its processes share each step.

    Args:
        plan: What is asked.
        out: The run's folder; None takes the next free ``runs/<network>-<n>``.
        progress: Hears of progress.
        runtime: What may be used.
        resume: Whether there must be a run to go on with.
    """
    began = time.monotonic()
    runtime = runtime or RuntimeOptions()
    where = out or run_folder.next_free(f"{plan.network}-{Path(plan.data).name.split('.')[0]}")
    method = plan.method()
    if run_folder.look("train", plan, where).state == "finished":
        record = run_folder.record(TrainRecord, where)
        if (asked := io.to_json(method)) != asked | record.recipe:
            raise PlanError(f"{where} was trained by another recipe of that name", hint="choose another --out")
        shutil.rmtree(where / run_folder.WORK, ignore_errors=True)  # where a kill came just before
        return TrainOutcome(record=record, folder=where)
    if launched() > 1 and out is None:
        raise PlanError("several processes need one folder that they agree on", hint="name it with --out")
    ranks = Ranks(pick(plan.device), trackers=runtime.trackers, folder=where / "trackers")
    if not ranks.first:
        progress = NoProgress()
    entry = REGISTRY.get(plan.network)
    entry.require("classify")
    index = scan(plan.data, root=plan.root)
    task, targets = Classification.read(index)
    preprocess = default_preprocess(entry.input)
    torch.manual_seed(derive(plan.seed, "weights"))
    model = task.network(entry)
    if not method.aux_weight:
        model.aux.clear()  # nothing would train them
    network = PixelNetwork(model, preprocess).to(ranks.device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if method.whiten:
        first_convolution(network)  # refused before anything is decoded
    hashes = digests(index, progress)
    unreadable = unread(index, hashes)
    splits = split(index, hashes, seed=plan.seed, strata=task.strata(targets), exclude=unreadable)
    claim = None
    if ranks.first:
        claim = run_folder.claim("train", plan, where)
        progress = ProgressCallbacks(progress, run_folder.LogFile(claim.folder / run_folder.LOG))
        page = LivePage(
            claim.folder,
            network=plan.network,
            recipe=title(plan.recipe),
            data=Path(plan.data).name,
            epochs=run_folder.logged(claim.folder / run_folder.LOG, "epoch"),
        )
        progress.note(f"live report: {page.path}")
        progress = ProgressCallbacks(progress, page)
        settings = {**io.to_json(plan), "recipe": plan.recipe, "method": io.to_json(method)}
        progress = ProgressCallbacks(progress, ranks.track(where.name, settings))
        progress.record("run", {"folder": str(claim.folder), "state": claim.state, "resume": resume})
    ranks.wait()
    claim = claim or run_folder.look("train", plan, where)
    validates = plan.validate or method.schedule.kind == "plateau"
    training = splits.train if validates else np.sort(np.concatenate([splits.train, splits.validation]))
    looked_at = splits.validation if validates else splits.validation[:0]
    seen = headers(index) if method.augment.crop_scale is not None else None
    cut_from = to_cut_from(preprocess, method.augment, seen, training)
    images = Decoded(index, hashes, cut_from, claim.work / "pixels")
    held_back = Decoded(index, hashes, preprocess, claim.work / "validation")
    if ranks.first:
        most = math.floor(runtime.max_unreadable * len(index) + 1e-9)
        for store, positions in ((images, training), (held_back, looked_at)):
            unreadable = store.decode(positions, progress, max_unreadable=most, known_unreadable=unreadable)
        _tell(index, unreadable, progress)
    ranks.wait()
    kept, held = images.readable(training), held_back.readable(looked_at)
    if method.whiten:
        whiten(network, images.pixels, images.rows(kept))
    labels = targets[kept]
    best = _Best(network, held_back, held, targets[held], ranks, claim.work / "best.safetensors")

    state = claim.work / "training.safetensors"
    signature = keys.of_folder(plan=plan, recipe=method, images=[hashes[p] for p in kept])
    if state.exists() and checkpoint.facts(state).get("signature") != signature:
        raise PlanError(
            f"{where} was begun with other images, another recipe of that name, or other versions of what computes",
            hint=f"put back what changed, or choose another --out; to begin anew there, delete {state}",
        )

    def snapshots(number: int) -> None:
        if ranks.first:
            trained.save_weights(make_folder(claim.folder / trained.SNAPSHOTS) / f"{number}.safetensors", model)

    native = all(ranks.gather(native_bf16(ranks.device)))
    precision = plan.precision if plan.precision != "auto" else "bf16" if native else "float32"
    result = train(
        network,
        PixelSource(
            images.pixels,
            labels,
            method.augment,
            seed=plan.seed,
            rows=images.rows(kept),
            classes=task.outputs,
            size=preprocess.size,
            proportions=None if seen is None else seen.proportions(kept),
        ),
        method,
        loss=task.loss(method, labels),
        seed=plan.seed,
        progress=progress,
        ranks=ranks,
        chances=task.sampling(method, labels),
        precision=precision,
        most=_most(network, preprocess, method, precision, ranks.device),
        compiled=runtime.compiled,
        workers=runtime.workers,
        save_every_s=runtime.save_every_s,
        save_to=state,
        signature=signature,
        evaluate=best if validates else None,
        snapshot=snapshots,
    )
    progress.record("trained", {"step": result.resumed_at, "steps": result.steps, "seconds": result.seconds})
    if validates:
        if ranks.first:
            trained.save_weights(claim.folder / trained.LAST, model)
        model.load_state_dict(checkpoint.read(best.file)[0])
    logits, positions, lost = _tested(network, preprocess, index, splits.test, ranks, progress)
    if not ranks.first:
        ranks.finish()
        return TrainOutcome(record=run_folder.record(TrainRecord, where), folder=where)
    card = trained.ModelCard(
        network=entry.name,
        options={},
        layer=None,
        classes=task.classes,
        preprocess=preprocess,
        temperature=1.0,
        start={"weights": "random"},
        made={"verb": "train", "data": Path(plan.data).name, "recipe": title(plan.recipe)},
    )
    write_set(claim.folder / trained.IMAGES, [hashes[p] for p in (*kept, *held)])
    trained.save(claim.folder, model.cpu(), card)
    top = max(result.curve, key=lambda row: row["top1"]) if validates else None
    unreadable = {**unreadable, **lost}
    parts = {"train": kept, "validation": held, "test": positions}
    issues = task.audit(index, targets, hashes, splits, unreadable, seen=seen)
    rows = task.rows([index.names[int(p)] for p in positions], logits, targets[positions])
    record = TrainRecord(
        network=entry.name,
        test=task.score(logits, targets[positions]),
        data=run_files.summary(plan.data, task, targets, parts, issues, len(unreadable)),
        recipe=io.to_json(method),
        curve=result.curve,
        steps=result.steps,
        resumes=result.resumes,
        halved_at=result.halved_at,
        precision=result.precision,
        micro_batches=result.micro_batches,
        best_epoch=int(top["epoch"]) if top else None,
        validation=top["top1"] if top else None,
        snapshots=len(cycle_ends(method.schedule, result.steps)),
        cost=io.to_json(measure(model, (preprocess.in_channels, *preprocess.size)).totals),
        seconds={"total": time.monotonic() - began, "training": result.seconds},
        seed=plan.seed,
        versions=versions(),
        plan=io.to_json(plan),
    )
    run_files.write(claim.folder, record, rows, index)
    io.write(claim.folder / run_folder.METRICS, record)
    shutil.rmtree(claim.work, ignore_errors=True)
    ranks.finish()
    return TrainOutcome(record=record, folder=claim.folder)


def _most(
    network: PixelNetwork, preprocess: Preprocess, method: Recipe, precision: str, device: torch.device
) -> int | None:
    """The most images at a time for which the sizing engine foretells that a step fits into free memory.

    None where the recipe's own group fits, or the device does not say what is free.
    """
    free = free_bytes(device)
    if free is None:
        return None
    model, shape = on_meta(network.model), (preprocess.in_channels, *preprocess.size)
    kept = sum(each.nbytes for each in model.parameters())
    states = 2 if method.optimizer == "adamw" else int(method.optimizer == "rmsprop") + int(method.momentum > 0)
    room = int(MOST_OF_FREE * free) + kept * (0 if method.ema_decay else 1)  # the network is there already
    if precision == "bf16":  # weights, gradients and the optimiser's memory stay as they are, beside copies of weights
        model = model.to(torch.bfloat16)
        room -= kept * (2 + states) // 2 + kept // 2
    optimiser = ("sgd", "momentum", "adam")[states]
    micro_batch = method.micro_batch or method.batch
    if peak_bytes(model, shape, batch=micro_batch, training=True, optimiser=optimiser) <= room:
        return None
    return max(1, largest_batch(model, shape, max(1, room), training=True, optimiser=optimiser))


@final
class _Best:
    """Looks at the validation images, and keeps the weights that did best on them.

    Args:
        network: As it is being trained.
        images: Decoded.
        positions: The validation images.
        labels: Theirs.
        ranks: Each process looks at a part.
        file: Where the best weights go.
    """

    def __init__(
        self,
        network: PixelNetwork,
        images: Decoded,
        positions: np.ndarray,
        labels: np.ndarray,
        ranks: Ranks,
        file: Path,
    ) -> None:
        self._network, self._ranks, self.file = network, ranks, file
        self._source = PixelSource(images.pixels, labels, Augment(), seed=0, rows=images.rows(positions))
        self._parts = ranks.share(range(len(positions)))
        self._count = len(positions)

    def __call__(self) -> dict[str, float]:
        right = 0
        with torch.inference_mode():
            for first in range(0, len(self._parts), _EVALUATED):
                inputs, labels = self._source.batch(np.array(self._parts[first : first + _EVALUATED]), 0)
                found = self._network(inputs.to(self._ranks.device)).argmax(1).cpu()
                right += int((found == labels).sum())
        top1 = sum(self._ranks.gather(right)) / self._count
        if self._ranks.first and top1 > self._so_far():
            checkpoint.write(self.file, self._network.model.state_dict(), {"top1": top1})
        self._ranks.wait()
        return {"top1": top1}

    def _so_far(self) -> float:
        return checkpoint.read(self.file)[1]["top1"] if self.file.exists() else -1.0


def _tested(
    network: PixelNetwork,
    preprocess: Preprocess,
    index: ImageIndex,
    positions: np.ndarray,
    ranks: Ranks,
    progress: ProgressCallback,
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """The test images through the network; each process runs a part, and every image counts once.

    Returns:
        Logits, the positions that they are of, and the reason for every image that cannot be read.
    """
    mine = ranks.share([int(p) for p in positions])
    outputs = running.predict_batches(
        network.eval(),
        preprocess,
        index,
        mine,
        width=network.model.classes,
        progress=progress,
        phase="evaluating on the test set",
        batch=_EVALUATED,
        device=ranks.device,
    )
    parts = ranks.gather((outputs.values, outputs.positions, outputs.unreadable))
    lost = {position: why for part in parts for position, why in part[2].items()}
    _tell(index, lost, progress)
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]), lost


def _tell(index: ImageIndex, unreadable: Mapping[int, str], progress: ProgressCallback) -> None:
    for position, why in sorted(unreadable.items()):
        progress.note(f"left out {index.names[position]}: {why}")
