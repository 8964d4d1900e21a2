"""Our networks compute what their peers compute: a quick part of what ``make parity`` runs whole.

Peers come from the package index and are no dependencies: these tests skip where they are missing.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import peers
import pytest
import run
import torch

from striate.models import REGISTRY
from striate.weights import read_state

QUICK = ["alexnet", "resnet18", "resnet50", "mobilenet_v1", "mobilenet_v2", "densenet121", "efficientnet_b0"]
ROWS = run.rows()


def needs(peer: str) -> None:
    if find_spec(peer) is None:
        pytest.skip(f"{peer} is not installed: make parity installs it apart")


def test_rows_name_networks_once() -> None:
    labels = [row.label for row in ROWS]
    assert len(set(labels)) == len(labels)
    assert {row.ours for row in ROWS} <= set(REGISTRY)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the peers' own
@pytest.mark.parametrize("row", [row for row in ROWS if row.ours in QUICK], ids=lambda row: row.label)
def test_the_reference_weights_give_the_reference_output(row: run.Row) -> None:
    needs(row.peer)
    assert max(run.errors(row).values()) < run.TOLERANCE


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fault", run.FAULTS)
def test_a_planted_fault_is_caught(fault: str) -> None:
    needs("torchvision")
    assert run.caught(fault)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".h5", ".weights.h5"])
def test_keras_files_read_as_the_network_that_wrote_them(suffix: str, tmp_path: Path) -> None:
    needs("keras")
    row = next(each for each in ROWS if each.name == "MobileNet")
    peer = peers.keras_peer(row.name)
    file = tmp_path / f"peer{suffix}"
    (peer.save_weights if suffix == ".weights.h5" else peer.save)(file)
    from_file, held = run.ours(row, read_state(file)), run.ours(row, peers.keras_state(peer))
    for name, tensor in held.state_dict().items():
        assert torch.allclose(from_file.state_dict()[name], tensor)
