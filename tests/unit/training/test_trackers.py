"""Trackers are told the settings once and every epoch, and a run that goes on is the same run to them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from striate.training.trackers import begin


class Played:
    """What Accelerate would be asked."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, dict[str, Any] | None, dict[str, Any]]] = []
        self.told: list[tuple[int, dict[str, Any]]] = []

    def init_trackers(self, project_name: str, config: dict[str, Any] | None, init_kwargs: dict[str, Any]) -> None:
        self.opened.append((project_name, config, init_kwargs))

    def get_tracker(self, name: str, unwrap: bool) -> Any:
        return SimpleNamespace(info=SimpleNamespace(run_id=f"{name}-7"))

    def log(self, values: dict[str, Any], step: int) -> None:
        self.told.append((step, values))


def test_a_resumed_run_is_the_same_tracker_run(tmp_path: Path) -> None:
    first, then, names = Played(), Played(), ("wandb", "mlflow")
    settings = {"seed": 3, "method": {"lr": 0.1, "steps": None, "zoom": [0.9, 1.1], "flip": True}}
    begin(first, names, tmp_path / "trackers", "mine", settings).record("epoch", {"epoch": 1.0, "loss": 0.5})
    begin(then, names, tmp_path / "trackers", "mine", settings).record("epoch", {"epoch": 2.0, "loss": 0.4})
    assert first.opened[0][:2] == (
        "striate",
        {"seed": 3, "method.lr": 0.1, "method.zoom": "[0.9, 1.1]", "method.flip": True},
    )
    assert first.opened[0][2]["mlflow"]["run_id"] is None
    _, settings_again, how = then.opened[0]
    assert settings_again is None
    assert how["wandb"]["id"] == first.opened[0][2]["wandb"]["id"]
    assert (how["wandb"]["resume"], how["mlflow"]["run_id"]) == ("allow", "mlflow-7")
    assert first.told + then.told == [(1, {"loss": 0.5}), (2, {"loss": 0.4})]


def test_two_runs_have_two_ids_and_other_events_are_not_logged(tmp_path: Path) -> None:
    played = Played()
    for folder in ("a", "b"):
        begin(played, ("wandb",), tmp_path / folder, folder, {}).record("note", {"message": "x"})
    assert played.opened[0][2]["wandb"]["id"] != played.opened[1][2]["wandb"]["id"]
    assert played.told == []
