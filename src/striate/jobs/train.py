"""Trains a network from random weights."""

from __future__ import annotations

import dataclasses
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from striate.core.device import pick
from striate.core.errors import PlanError
from striate.core.events import Listener, Several
from striate.core.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from striate.core.seed import derive
from striate.data.digest import digests
from striate.data.index import scan
from striate.data.split import split
from striate.features import keys
from striate.features import run as running
from striate.features.extract import fill, unread
from striate.features.store import RowStore
from striate.jobs import artefact, folder
from striate.jobs.versions import versions
from striate.models import REGISTRY
from striate.records import io
from striate.records.plans import TrainPlan
from striate.records.recipes import recipe
from striate.records.results import Score
from striate.tasks.classify import metrics
from striate.tasks.classify.feed import PixelFeed
from striate.tasks.classify.network import Classifier
from striate.train.loop import train

GREY_MEAN, GREY_STD = 0.13, 0.31
"""About those of handwritten digits, bright on black."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRecord:
    """What ``metrics.json`` of a training run holds.

    Args:
        network: Its name.
        test: Score on the test pictures, which the schedule never saw.
        data: Pictures trained on and tested on, and the classes.
        recipe: How it was trained.
        curve: A row an epoch.
        steps: Optimiser steps.
        resumed_at: The step that this process began with.
        seconds: Times.
    """

    network: str
    test: Score
    data: dict[str, Any]
    recipe: dict[str, Any]
    curve: tuple[dict[str, float], ...]
    steps: int
    seconds: dict[str, float]
    seed: int
    versions: dict[str, str]
    plan: dict[str, Any]
    format: int = 1


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
    if not (where / folder.PLAN).is_file():
        raise PlanError(
            f"{where} holds no run to go on with", hint="begin one: striate train NAME DATA --out " + str(where)
        )
    there = folder.planned(where)
    if there.get("verb") != "train":
        raise PlanError(f"{where} holds a run of striate {there.get('verb')}", hint="that command goes on with it")
    try:
        return io.from_json(TrainPlan, there["plan"])
    except (TypeError, ValueError) as error:
        raise PlanError(f"{where / folder.PLAN} is damaged or of another version: {error}") from error


def natural_preprocess(shape: tuple[int, int, int]) -> Preprocess:
    """What a network trained here takes: its native size, values normalised."""
    channels, height, width = shape
    if channels == 1:
        return Preprocess(size=(height, width), channels="grey", mean=(GREY_MEAN,), std=(GREY_STD,))
    return Preprocess(size=(height, width), mean=IMAGENET_MEAN, std=IMAGENET_STD)


def run(plan: TrainPlan, out: Path | None, listener: Listener, *, resume: bool = False) -> TrainOutcome:
    """Train, or go on with a training that was stopped, to the same weights.

    The schedule is fixed beforehand and nothing is chosen on the way, so no validation pictures are held back: all but
    the test pictures train.

    Args:
        plan: What is asked.
        out: The run's folder; None takes the next free ``runs/<network>-<n>``.
        listener: Hears of progress.
        resume: Whether there must be a run to go on with.
    """
    began = time.monotonic()
    where = out or folder.next_free(f"{plan.network}-{Path(plan.data).name.split('.')[0]}")
    if folder.look("train", plan, where).state == "finished":
        record = folder.record(TrainRecord, where)
        shutil.rmtree(where / folder.WORK, ignore_errors=True)  # where a kill came just before
        return TrainOutcome(record=record, folder=where)
    entry = REGISTRY.get(plan.network)
    entry.require("classify")
    method = recipe(plan.recipe)
    if plan.epochs is not None:
        method = dataclasses.replace(method, epochs=plan.epochs)
    device = pick(plan.device)
    index = scan(plan.data, root=plan.root)
    hashes = digests(index, listener)
    unreadable = unread(index, hashes)
    splits = split(index, hashes, seed=plan.seed, exclude=unreadable)
    claim = folder.claim("train", plan, where)
    listener = Several(listener, folder.LogFile(claim.folder / folder.LOG))
    listener.record("run", {"folder": str(claim.folder), "state": claim.state, "resume": resume})
    preprocess = natural_preprocess(entry.input)
    store = RowStore(claim.work / "pixels", (*preprocess.size, preprocess.in_channels), "uint8")
    positions = np.sort(np.concatenate([splits.train, splits.validation]))
    done = fill(
        store,
        index,
        [int(p) for p in positions],
        hashes,
        preprocess,
        lambda pixels: pixels,
        batch=256,
        listener=listener,
        most_unreadable=len(index) // 20,
        besides=unreadable,
        phase="decoding pictures",
    )
    for position, why in sorted({**unreadable, **done.unreadable}.items()):
        listener.note(f"left out {index.names[position]}: {why}")
    kept = np.array([p for p in positions if p not in done.unreadable], dtype=np.int64)
    pixels = store.view()[store.places([keys.of_picture(hashes[p]) for p in kept])]

    torch.manual_seed(derive(plan.seed, "weights"))
    model = entry.classifier(classes=len(index.classes))
    network = Classifier(model, preprocess).to(device)
    result = train(
        network.to(memory_format=torch.channels_last),  # pyright: ignore[reportCallIssue]
        PixelFeed(pixels, index.labels[kept], method.augment, seed=plan.seed),
        method,
        seed=plan.seed,
        listener=listener,
        save_to=claim.work / "training.safetensors",
        signature=keys.of_folder(plan=plan, recipe=method, pictures=[hashes[p] for p in kept]),
    )
    listener.record("trained", {"step": result.resumed_at, "steps": result.steps, "seconds": result.seconds})
    outputs = running.over(
        network.eval(),
        preprocess,
        index,
        splits.test,
        width=len(index.classes),
        listener=listener,
        phase="the test pictures, once",
        batch=100,
        device=device,
    )
    for position, why in sorted(outputs.unreadable.items()):
        listener.note(f"left out {index.names[position]}: {why}")
    test = metrics.score(outputs.values, index.labels[outputs.positions], index.classes)
    card = artefact.ModelCard(
        network=entry.name,
        options={},
        point=None,
        classes=index.classes,
        preprocess=preprocess,
        temperature=1.0,
        start={"weights": "random"},
    )
    artefact.save(claim.folder, model.cpu(), card)
    record = TrainRecord(
        network=entry.name,
        test=test,
        data={"classes": index.classes, "train": len(kept), "test": test.n},
        recipe=io.to_json(method),
        curve=result.curve,
        steps=result.steps,
        seconds={"total": time.monotonic() - began, "training": result.seconds},
        seed=plan.seed,
        versions=versions(),
        plan=io.to_json(plan),
    )
    io.write(claim.folder / folder.METRICS, record)
    shutil.rmtree(claim.work, ignore_errors=True)
    return TrainOutcome(record=record, folder=claim.folder)
