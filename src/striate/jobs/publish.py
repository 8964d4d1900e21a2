"""Makes a finished run's network available to others: a folder that stands alone, here or on the Hugging Face hub."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save

from striate.core.atomic import make_folder, write_bytes, write_text
from striate.core.cancel import CancelPoints, CancelToken
from striate.core.errors import PlanError
from striate.core.events import NoProgress, ProgressCallback
from striate.jobs import run_folder
from striate.models import REGISTRY, ImageModel
from striate.records import io
from striate.records.plans import PublishPlan
from striate.records.results import FitRecord, TrainRecord
from striate.records.verbs import PublishRecord
from striate.report import card as model_card
from striate.weights import hub, maps, timm_config, trained
from striate.weights.maps.inverse import renamed

FILES = {
    "striate": (trained.WEIGHTS, trained.CARD, run_folder.METRICS, model_card.NAME),
    "timm": (trained.WEIGHTS, timm_config.CONFIG, run_folder.METRICS, model_card.NAME),
    "torchvision": (trained.WEIGHTS, run_folder.METRICS, model_card.NAME),
}
"""What is published, by whose names the tensors have."""


def run(
    plan: PublishPlan, *, progress: ProgressCallback | None = None, cancel: CancelToken | None = None
) -> PublishRecord:
    """Write weights, ``model.json``, figures and a model card; nothing in them names a file or folder of this machine.

    The report stays here: it shows images and names their files.

    Args:
        plan: Which run, where to, under which licence.
        progress: Receives progress.
        cancel: Asks the job to stop at its next step; None never asks.

    Raises:
        PlanError: The run is unfinished, or the folder holds something else.
        CheckpointError: The run's network is damaged.
        WeightsNotFoundError: The hub is asked for, and ``STRIATE_OFFLINE`` is set.
        StriateError: The hub does not take it.
        StorageError: The folder cannot be written.
    """
    progress = CancelPoints(progress or NoProgress(), cancel or CancelToken())
    found, record = _finished(Path(plan.run))
    to = plan.to or str(Path("published") / found.folder.resolve().name)
    on_hub = to.startswith(hub.PREFIX)
    if on_hub:
        hub.require_pushable(to)
    else:
        _require_ours(Path(to), FILES[plan.names])
    made = dict(found.card.made)
    data = plan.data_name or made.get("data") or Path(record.data.source or record.plan["data"]).name
    made["data"] = data
    published = dataclasses.replace(found.card, licence=str(plan.licence), made=made, start=_public(found.card.start))
    where = to if on_hub else Path(to).resolve().name
    if plan.names == "torchvision":  # without model.json the network has to be named
        where = f"{published.network}:{where}/{trained.WEIGHTS}"
    if plan.names != "striate":  # the last layer has it (`_weights`)
        published = dataclasses.replace(published, temperature=1.0)
    about = model_card.About(data=data, data_licence=plan.data_licence, where=where)
    progress.phase("checking the weights")
    model = trained.load(found)[0]  # what is damaged is not given to others
    weights = _weights(found, model, plan.names)
    if not on_hub:
        files = _write(make_folder(Path(to)), plan.names, weights, record, published, about)
        return PublishRecord(to=to, files=files, licence=published.licence)
    with tempfile.TemporaryDirectory() as place:
        files = _write(Path(place), plan.names, weights, record, published, about)
        progress.phase(f"uploading to {to}")
        pushed = hub.push(Path(place), to, private=plan.private, message=f"{published.network} trained on {data}")
    return PublishRecord(to=to, files=files, licence=published.licence, commit=pushed.commit, url=pushed.url)


def _finished(run: Path) -> tuple[trained.Found, FitRecord | TrainRecord]:
    found = trained.find(str(run)) if run.is_dir() else None
    if found is None:
        raise PlanError(f"there is no run {run}", hint="name the folder of a finished striate train or striate fit")
    if not (found.folder / run_folder.METRICS).is_file() or not (found.folder / run_folder.PLAN).is_file():
        raise PlanError(
            f"{run} holds no finished run (no {run_folder.METRICS} or no {run_folder.PLAN})",
            hint="finish the run first; a published model cannot be published again",
        )
    verb = run_folder.planned(found.folder).get("verb")
    return found, run_folder.record(TrainRecord if verb == "train" else FitRecord, found.folder)


def _weights(found: trained.Found, model: ImageModel, names: str) -> bytes:
    """The weights' file, its tensors by the names of `names`.

    Other libraries know no temperature, so the last layer takes it in: the probabilities are the calibrated ones.

    Raises:
        CheckpointError: The other library has no names for this network.
        PlanError: Its network is another.
    """
    if names == "striate":
        return (found.folder / trained.WEIGHTS).read_bytes()
    card = found.card
    rows = maps.get(names, REGISTRY.get(card.network).family)(model)
    timm_config.require_same(card, names)
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    for name in ("head.logits.weight", "head.logits.bias"):
        if name in state:
            state[name] = state[name] / card.temperature
    return save(renamed(state, rows), metadata={"format": "pt"})


def _require_ours(target: Path, files: Sequence[str]) -> None:
    """Refuse a folder that holds anything but what publishing writes."""
    if not target.exists():
        return
    if not target.is_dir() or {each.name for each in target.iterdir()} - set(files):
        raise PlanError(f"{target} holds something else", hint="choose a new folder: --to FOLDER")


def _public(start: dict[str, str]) -> dict[str, str]:
    """Where the weights began, without the folder that they lay in."""
    kept = {name: value for name, value in start.items() if name != "folder"}
    if "folder" in start:
        kept["weights"] = f"sha256 {start['sha256'][:12]}"
    return kept


def _write(
    target: Path,
    names: str,
    weights: bytes,
    record: FitRecord | TrainRecord,
    published: trained.ModelCard,
    about: model_card.About,
) -> dict[str, int]:
    """The files of `FILES` into a folder.

    Returns:
        Their names and bytes.
    """
    write_bytes(target / trained.WEIGHTS, weights)
    io.write(target / run_folder.METRICS, model_card.public(record, published, about))
    write_text(target / model_card.NAME, model_card.render(record, published, about))
    if names == "striate":
        io.write(target / trained.CARD, published)  # last: with it the folder is a checkpoint
    elif names == "timm":
        io.write(target / timm_config.CONFIG, timm_config.config(published))
    return {name: (target / name).stat().st_size for name in FILES[names]}
