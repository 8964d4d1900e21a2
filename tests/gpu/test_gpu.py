"""What only a GPU shows. Run with ``-m gpu``; `benchmarks/gpu.py` measures there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate.core.events import NoProgress
from striate.models import REGISTRY
from striate.records.plans import FitPlan

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_every_parameter_gets_a_gradient_on_cuda(precision: torch.dtype) -> None:
    for entry in (REGISTRY.get(name) for name in ("airbench94", "resnet20_cifar", "mobilenet_v2", "convnext_tiny")):
        model = entry.create(classes=4).cuda().to(memory_format=torch.channels_last).train()
        with torch.autocast("cuda", precision, enabled=precision != torch.float32):
            logits = model(torch.rand(4, *entry.input, device="cuda"))
        logits.float().square().sum().backward()
        assert all(each.grad is not None for each in model.parameters() if each.requires_grad), entry.name


def test_fit_runs_on_cuda(tmp_path: Path) -> None:
    from striate.jobs import fit

    rng = np.random.default_rng(0)
    for i in range(60):
        path = tmp_path / "data" / ("dark", "bright")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 100, (32, 32, 3)) + 150 * (i % 2)
        Image.fromarray(noise.astype(np.uint8)).save(path)
    plan = FitPlan(data=str(tmp_path / "data"), backbone="resnet20_cifar", device="cuda")
    assert fit.run(plan, out=tmp_path / "run", progress=NoProgress()).record.test.top1 == 1.0
