"""Writes what a training from random weights came to into its folder."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from striate.data.digest import write_set
from striate.data.index import dataset_file
from striate.inference.latency import prediction_seconds
from striate.jobs import run_files, run_folder
from striate.jobs.train_steps import Prepared, Run, Tested
from striate.jobs.versions import versions
from striate.models import REGISTRY
from striate.records import io
from striate.records.plans import TrainPlan
from striate.records.recipes import title
from striate.records.results import TrainRecord
from striate.sizing import measure
from striate.training.loop import Trained
from striate.training.schedule import cycle_ends
from striate.weights import trained


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOutcome:
    """A finished run: its record and its folder."""

    record: TrainRecord
    folder: Path


def record(work: Run, prepared: Prepared, result: Trained, tested: Tested) -> TrainOutcome:
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


def _card(plan: TrainPlan, prepared: Prepared) -> trained.ModelCard:
    return trained.ModelCard(
        network=REGISTRY.get(plan.network).name,
        options={},
        layer=None,
        preprocess=prepared.preprocess,
        temperature=1.0,
        start={"weights": "random"},
        made={"verb": "train", "data": dataset_file(plan.data), "recipe": title(plan.recipe)},
        classes=prepared.data.task.output_names,
        task=prepared.data.task.name,
    )


def _prediction(prepared: Prepared) -> dict[str, float]:
    data, network = prepared.data, prepared.network.eval()
    test = [int(p) for p in data.splits.test]
    found = prediction_seconds(network, prepared.preprocess, data.index, test, next(network.parameters()).device)
    return {} if found is None else {"prediction": found}


def _record(work: Run, prepared: Prepared, result: Trained, tested: Tested) -> TrainRecord:
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
        seconds={"total": time.monotonic() - work.began, "training": result.seconds, **_prediction(prepared)},
        seed=plan.seed,
        versions=versions(),
        plan=io.to_json(plan),
    )
