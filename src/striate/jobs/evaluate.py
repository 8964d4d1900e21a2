"""Measures a model on labelled pictures."""

from __future__ import annotations

import numpy as np

from striate.core.device import pick
from striate.core.errors import DataError
from striate.core.events import Listener
from striate.data.index import survey
from striate.features import run as running
from striate.jobs.artefact import TrainedClassifier, load
from striate.records.plans import EvalPlan
from striate.records.results import Score
from striate.tasks.classify.metrics import score


def run(plan: EvalPlan, listener: Listener) -> Score:
    """Score a run or a published model.

    A published model's outputs are matched to the data's labels by synset, name or number.

    Args:
        plan: The model, the data, and which part of it.
        listener: Hears of progress, and of pictures that could not be read.

    Raises:
        DataError: A label of the data is none of the model's, or there is no such part.
    """
    classifier = load(plan.model, device=plan.device)
    index = survey(plan.data, root=plan.root)
    place = match(classifier, index.classes)
    positions = np.arange(len(index))
    split = plan.split or ("test" if index.splits is not None and "test" in index.splits else None)
    if split is not None:
        if index.splits is None or split not in index.splits:
            named = ", ".join(sorted(set(index.splits or ()))) or "none"
            raise DataError(f"{plan.data} has no part called {split!r}", hint=f"parts that it names: {named}")
        positions = np.flatnonzero(np.array(index.splits) == split)
    outputs = running.over(
        classifier.network,
        classifier.preprocess,
        index,
        positions,
        width=len(classifier.classes),
        listener=listener,
        phase="evaluating",
        batch=plan.batch,
        engine=plan.engine,
        device=pick(plan.device or "cpu"),
    )
    for position, reason in sorted(outputs.unreadable.items()):
        listener.note(f"left out {index.names[position]}: {reason}")
    if outputs.agreement.note:
        listener.note(outputs.agreement.note)
    labels = place[index.labels[outputs.positions]]
    return score(outputs.values, labels, classifier.classes, temperature=classifier.temperature)


def match(classifier: TrainedClassifier, names: tuple[str, ...]) -> np.ndarray:
    """The output that each of the data's classes means, int64 ``[classes of the data]``.

    Raises:
        DataError: Some are unknown to the model, or two mean the same.
    """
    known = {name: i for i, name in enumerate(classifier.classes)}
    found = [known.get(name) if classifier.labels is None else classifier.labels.index(name) for name in names]
    unknown = [name for name, place in zip(names, found, strict=True) if place is None]
    if unknown:
        some = ", ".join(repr(n) for n in unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
        some_known = ", ".join(repr(n) for n in classifier.classes[:5])
        raise DataError(
            f"the model knows no class {some}", hint=f"it knows {some_known}, ...: rename the data's classes"
        )
    if len(set(found)) < len(found):
        raise DataError("two classes of the data mean the same class of the model", hint="join them")
    return np.array(found, dtype=np.int64)
