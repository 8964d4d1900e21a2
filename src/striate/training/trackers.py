"""What experiment trackers log of a run, and how a resumed run continues there."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, final

from striate.core.atomic import make_folder
from striate.core.errors import MissingExtraError
from striate.core.events import NoProgress
from striate.records import io

PROJECT = "striate"


class Accelerated(Protocol):
    """What is used of Accelerate's `Accelerator`."""

    def init_trackers(self, project_name: str, config: dict[str, Any] | None, init_kwargs: dict[str, Any]) -> None:
        """Open the trackers' runs."""
        ...

    def get_tracker(self, name: str, unwrap: bool) -> Any:
        """A tracker's own run."""
        ...

    def log(self, values: dict[str, Any], step: int) -> None:
        """Pass figures on."""
        ...


def require(names: Sequence[str]) -> None:
    """Refuse trackers that are not installed.

    Raises:
        MissingExtraError: One is not.
    """
    for name in names:
        if find_spec(name) is None:
            raise MissingExtraError(f"the tracker {name!r} is not installed", hint=f"pip install {name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    """By what names trackers on servers know the run.

    Args:
        wandb: Chosen here.
        mlflow: Chosen by its server; None where MLflow is not in use.
    """

    wandb: str
    mlflow: str | None = None


def begin(
    accelerator: Accelerated, names: Sequence[str], folder: Path, title: str, settings: Mapping[str, Any]
) -> Tracked:
    """Open a run with every tracker, or continue the one that was opened before.

    Args:
        accelerator: Holds the trackers.
        names: Of the trackers.
        folder: Where TensorBoard's files go, and the ids of the run elsewhere (``ids.json``).
        title: What people call the run.
        settings: What it was asked to do; told once, in numbers, words and truth values.
    """
    kept = make_folder(folder) / "ids.json"
    known = io.from_json(Ids, io.read(kept)) if kept.is_file() else None
    ids = known or Ids(wandb=uuid.uuid4().hex)
    accelerator.init_trackers(
        PROJECT,
        config=None if known else _flat(settings),
        init_kwargs={
            "wandb": {"id": ids.wandb, "resume": "allow", "name": title, "dir": str(folder)},
            "mlflow": {"run_id": ids.mlflow, "run_name": title},
        },
    )
    if "mlflow" in names and ids.mlflow is None:
        ids = Ids(wandb=ids.wandb, mlflow=accelerator.get_tracker("mlflow", unwrap=True).info.run_id)
    io.write(kept, ids)
    return Tracked(accelerator)


@final
class Tracked(NoProgress):
    """Logs the metrics of every epoch.

    Args:
        accelerator: Holds the trackers.
    """

    def __init__(self, accelerator: Accelerated) -> None:
        self._accelerator = accelerator

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Pass an epoch's figures on."""
        if event == "epoch":
            figures = {name: value for name, value in facts.items() if name != "epoch"}
            self._accelerator.log(figures, step=int(facts["epoch"]))


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings under dotted names; what is None is left out, and lists are written out."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{name}.")
        elif value is not None:
            flat[f"{before}{name}"] = value if isinstance(value, bool | int | float | str) else str(value)
    return flat
