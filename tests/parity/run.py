"""Does every network of ours compute what the peer computes whose weights it reads?

    make parity                            every row of rows.toml, then planted faults that must be caught
    make parity NETWORKS="resnet50 vgg16"  the rows of these networks

For each row the peer's own random state goes through our loader, and both see the same two images, at the peer's own
size and at an odd one, in float64 (deep random networks turn rounding in float32 into errors as large as real faults).
What this cannot see: preprocessing, what only training does (dropout, auxiliary heads), an eps that is off by 1e-8.

Exit: 0 when every row agrees to within 1e-4 of what another image changes; 1 otherwise.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peers
import torch
from torch import Tensor, nn

from striate.models import REGISTRY, ImageModel
from striate.weights import catalogue, load_state_dict

TOLERANCE = 1e-4
TWO = 2
"""Images a comparison."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison: see rows.toml."""

    ours: str
    peer: str
    name: str
    side: int
    odd: tuple[int, int] | None = None

    @property
    def label(self) -> str:
        """How the row is printed."""
        return f"{self.ours} = {self.peer} {self.name}"


def rows() -> list[Row]:
    """The table."""
    table = tomllib.loads(Path(__file__).with_name("rows.toml").read_text(encoding="utf-8"))
    return [Row(**(each | ({"odd": tuple(each["odd"])} if "odd" in each else {}))) for each in table["row"]]


def ours(row: Row, state: dict[str, Tensor]) -> ImageModel:
    """Our network with the options of the peer's published weights, in float64, holding the peer's state."""
    published = [each for each in catalogue.entries_for(row.ours) if each.source == row.peer]
    model = REGISTRY.get(row.ours).create(options=published[0].options if published else {}).double()
    load_state_dict(model, state, row.peer)
    return model.eval()


Fault = Callable[[ImageModel], None]


def errors(row: Row, fault: Fault | None = None) -> dict[str, float]:
    """The relative error at each size.

    Args:
        row: What to compare.
        fault: Done to our network before the comparison.
    """
    with torch.no_grad():
        return _keras(row, fault) if row.peer == "keras" else _torch(row, fault)


def _torch(row: Row, fault: Fault | None) -> dict[str, float]:
    peer = peers.torch_peer(row.peer, row.name, row.side)
    model = ours(row, dict(peer.state_dict()))
    if fault:
        fault(model)
    result: dict[str, float] = {}
    for height, width in filter(None, [(row.side, row.side), row.odd]):
        x = peers.images(TWO, height, width, 1)
        result[f"{height}x{width}"] = peers.relative_error(model(x), peer(x))
    return result


def _keras(row: Row, fault: Fault | None) -> dict[str, float]:
    peer = peers.keras_peer(row.name, classifier_activation=None)
    peers.calibrate_keras(peer, row.name)
    model = ours(row, peers.keras_state(peer))
    if fault:
        fault(model)
    x = peers.images(TWO, row.side, row.side, 1)
    result = {f"{row.side}x{row.side}": peers.relative_error(model(x), _plain(peer(peers.as_keras(x, row.name))))}
    if row.odd:  # with its top on, Keras takes one size
        topless = peers.keras_peer(row.name, include_top=False, pooling="avg", input_shape=(*row.odd, 3))
        peers.share(peer, topless)
        x = peers.images(TWO, *row.odd, 1)
        theirs = _plain(topless(peers.as_keras(x, row.name)))
        result[f"{row.odd[0]}x{row.odd[1]}"] = peers.relative_error(_pooled(model, x), theirs)
    return result


def _plain(tensor: Any) -> Tensor:
    return torch.as_tensor(tensor).detach().cpu()


def _pooled(model: ImageModel, x: Tensor) -> Tensor:
    """What enters the classifier; of networks with hidden dense layers, the mean of the last maps."""
    features = model.forward_features(x)
    hidden = [model.head.get_submodule(part) for part in model.head.hidden]
    if any(isinstance(each, nn.Linear) for part in hidden for each in part.modules()):
        return features.mean((2, 3))
    before = [n for n, part in model.head.named_children() if not isinstance(part, nn.Dropout | nn.Linear)]
    return model.forward_head(features, upto=before[-1]).flatten(1)


# ---------------------------------------------------------------------- planted faults


def _eps(model: ImageModel) -> None:
    [each for each in model.modules() if isinstance(each, nn.BatchNorm2d)][-1].eps = 1e-3


def _lost_mean(model: ImageModel) -> None:
    middle = [each for each in model.modules() if isinstance(each, nn.BatchNorm2d)][10]
    assert middle.running_mean is not None
    middle.running_mean.zero_()


def _ceil(model: ImageModel) -> None:
    next(each for each in model.modules() if isinstance(each, nn.MaxPool2d)).ceil_mode = True


FAULTS: dict[str, tuple[str, Fault]] = {
    "one eps of 1e-3": ("resnet18", _eps),
    "one running mean lost": ("resnet18", _lost_mean),
    "a pool that rounds up": ("resnet18", _ceil),
}


def caught(fault: str) -> bool:
    """Whether the comparison fails as it must with a planted fault."""
    name, damage = FAULTS[fault]
    row = next(each for each in rows() if each.ours == name and each.peer == "torchvision")
    return max(errors(row, damage).values()) > TOLERANCE


# ---------------------------------------------------------------------- the command


def main() -> int:
    """Run the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help="our names; none runs all, and the planted faults")
    parser.add_argument("--peer", choices=["torchvision", "timm", "keras"], help="this peer's rows alone")
    options = parser.parse_args()
    table = [each for each in rows() if options.peer in (None, each.peer)]
    unknown = set(options.networks) - {each.ours for each in table}
    if unknown:
        parser.error(f"no row for {', '.join(sorted(unknown))}")
    failed: list[str] = []
    chosen = [each for each in table if not options.networks or each.ours in options.networks]
    for row in chosen:
        began = time.perf_counter()
        try:
            found = errors(row)
            good = max(found.values()) < TOLERANCE
            said = ", ".join(f"{size} {error:.1e}" for size, error in found.items())
        except Exception as error:  # every row is to be heard
            good, said = False, f"{type(error).__name__}: {error}"
        failed += [] if good else [row.label]
        print(f"{'pass' if good else 'FAIL'}  {row.label:52} {said}  ({time.perf_counter() - began:.0f} s)", flush=True)
        gc.collect()
    networks = {each.ours for each in chosen if each.label not in failed}
    print(f"{len(chosen) - len(failed)} of {len(chosen)} agree, {len(networks)} networks")
    for label in failed:
        print(f"  not: {label}")
    missed = [] if options.networks else [fault for fault in FAULTS if not caught(fault)]
    if not options.networks:
        print(f"planted faults caught: {len(FAULTS) - len(missed)} of {len(FAULTS)}")
    return 1 if failed or missed else 0


if __name__ == "__main__":
    sys.exit(main())
