"""How many of timm's own tests of models do our networks pass through `striate.compat.timm`?

The file of tests is not part of timm's wheel; it comes with the source: ``pip download --no-binary :all: --no-deps
timm==1.0.31``, then ``PYTHONPATH=.peers python benchmarks/timm_tests.py --tests timm-1.0.31/tests/test_models.py``.
``--plain`` gives the tests our networks as they are, without timm's names.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parity"))

import pytest
import shim as shim  # lets torchvision import

NETWORKS = [
    "alexnet",
    "convnext_tiny",
    "convnextv2_atto",
    "densenet121",
    "efficientnet_b0",
    "tf_efficientnet_b0",
    "googlenet",
    "inception_v3",
    "inception_resnet_v2",
    "mobilenet_v1",
    "mobilenet_v2",
    "nasnet_mobile",
    "resnet18",
    "resnet50",
    "resnet50v2",
    "resnext50_32x4d",
    "se_inception",
    "se_resnet50",
    "vgg11",
    "vgg11_bn",
    "wide_resnet50_2",
    "xception",
    "zfnet",
    "resnet20_cifar",
    "wrn16_4",
]
GENERAL = [
    "test_model_forward",
    "test_model_backward",
    "test_model_default_cfgs",
    "test_model_forward_torchscript",
    "test_model_forward_features",
    "test_model_forward_intermediates_features",
    "test_model_forward_intermediates",
    "test_prune_intermediate_layers_contract",
    "test_model_forward_fx",
    "test_model_backward_fx",
    "test_model_forward_fx_torchscript",
]
"""The tests that timm runs for every network; the others are about single networks of its own."""


class Counted:
    """Counts outcomes, and keeps to the tests that are for every network."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Counter[str]] = {name: Counter() for name in GENERAL}
        self.failures: list[str] = []

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Keep the tests that are for every network."""
        items[:] = [item for item in items if item.originalname in self.outcomes]

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Count an outcome."""
        if report.when == "call" or (report.when == "setup" and report.outcome != "passed"):
            name = report.nodeid.rpartition("::")[2]
            self.outcomes[name.partition("[")[0]][report.outcome] += 1
            if report.failed:
                self.failures.append(f"{name}: {str(report.longrepr.reprcrash.message).splitlines()[0][:150]}")


def stand_in(networks: list[str], *, plain: bool) -> None:
    """Our networks where the tests import timm's."""
    import timm

    import striate
    from striate.compat import timm as ours

    def create_plain(model_name: str, pretrained: bool = False, **options: Any) -> Any:
        return striate.create_model(model_name)

    def listed(filter: Any = "", exclude_filters: Any = "", **options: Any) -> list[str]:
        def among(name: str, patterns: Any) -> bool:
            patterns = [patterns] if isinstance(patterns, str) else patterns
            return any(fnmatch.fnmatch(name, each) for each in patterns)

        if options.get("pretrained"):
            return []
        return [name for name in networks if (not filter or among(name, filter)) and not among(name, exclude_filters)]

    def value(model_name: str, key: str) -> Any:
        return ours.create_model(model_name, device="meta").pretrained_cfg.get(key)

    timm.create_model = create_plain if plain else ours.create_model
    timm.list_models = listed
    timm.list_pretrained = lambda *patterns, **options: []
    timm.get_pretrained_cfg_value = value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=Path, required=True, help="timm's tests/test_models.py")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--only", default="", help="a pytest expression that chooses among the tests")
    parser.add_argument("--plain", action="store_true", help="without the adapter")
    arguments = parser.parse_args()
    stand_in(arguments.networks, plain=arguments.plain)
    counted = Counted()
    options = ["-q", "-p", "no:cacheprovider", "-c", str(arguments.tests.parent / "none.ini"), "--rootdir", "."]
    chosen = ["-k", arguments.only] if arguments.only else []
    pytest.main([str(arguments.tests), *options, *chosen, "--tb=line", "-W", "ignore"], plugins=[counted])
    for failure in counted.failures:
        print("failed", failure)
    total: Counter[str] = Counter()
    for name, outcomes in counted.outcomes.items():
        total += outcomes
        print(f"{name:45} " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())))
    script = sum((counted.outcomes[name] for name in GENERAL if "torchscript" in name), Counter())
    print(f"{total['passed']} passed, {total['failed']} failed, of these {script['failed']} about TorchScript")


if __name__ == "__main__":
    main()
