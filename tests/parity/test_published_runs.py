"""timm itself opens what ``striate publish --names timm`` writes: same outputs, same preprocessing."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import shim
import torch
from PIL import Image
from safetensors.torch import save_file

from striate.core.preprocess import Preprocess
from striate.data.transforms import ImageTransform
from striate.models import REGISTRY
from striate.weights import maps, timm_config
from striate.weights.maps.inverse import renamed
from striate.weights.trained import ModelCard

assert shim  # torchvision imports after it


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # timm's own
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "convnext_tiny", "densenet121", "efficientnet_b0"])
@pytest.mark.parametrize("channels", [3, 1])
def test_timm_opens_our_runs(name: str, channels: int, tmp_path: Path) -> None:
    if find_spec("timm") is None:
        pytest.skip("timm is not installed: make parity installs it apart")
    import timm
    from timm.data import create_transform, resolve_data_config

    entry = REGISTRY.get(name)
    model = entry.classifier(classes=3, in_channels=channels).eval()
    how = Preprocess(
        size=(96, 96),
        resize=110,
        interpolation="bicubic",
        channels="grey" if channels == 1 else "rgb",
        mean=(0.4,) * channels,
        std=(0.2,) * channels,
    )
    card = ModelCard(
        network=name, options={}, layer=None, classes=("a", "b", "c"), preprocess=how, temperature=1.0, start={}
    )
    state = renamed(model.state_dict(), maps.get("timm", entry.family)(model))
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    config = timm_config.config(card)
    (tmp_path / "config.json").write_text(json.dumps(config))

    from_folder = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    from_file = timm.create_model(
        config["architecture"],
        checkpoint_path=str(tmp_path / "model.safetensors"),
        num_classes=3,
        in_chans=channels,
    ).eval()
    x = torch.rand(2, channels, 96, 96)
    with torch.inference_mode():
        for theirs in (from_folder, from_file):
            torch.testing.assert_close(theirs(x), model(x), rtol=1e-3, atol=1e-4)
    if channels == 3:  # timm's transform takes colour images
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8))
        settings = resolve_data_config(from_folder.pretrained_cfg)
        theirs = create_transform(**settings, is_training=False)(image)
        ours = ImageTransform(how)(image)
        assert theirs.shape == ours.shape
        assert (theirs - ours).abs().mean() < 0.02
