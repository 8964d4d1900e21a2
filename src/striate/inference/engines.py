"""What runs a network over images when nothing is being learned: the fastest way this machine has that agrees.

OpenVINO in float32 is 2 to 7 times faster than eager PyTorch on x86 processors and agrees to about 1e-6. In bfloat16
it is faster still, yet its features can differ; it is used only when asked for, and the difference is recorded.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np
import torch
from torch import nn

from striate.core.device import cpu_threads
from striate.core.errors import EngineError
from striate.core.events import ProgressCallback
from striate.inference.fold import folded
from striate.records.plans import EngineName

LEAST_AGREEMENT = 0.999


class Engine(Protocol):
    """Runs one network on batches of one size."""

    @property
    def name(self) -> str:
        """``openvino``, ``openvino-bf16`` or ``torch``, with its device."""
        ...

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 ``[batch, h, w, channels]`` to float32 ``[batch, ...]``; the batch is always full."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How an engine compared with eager float32 on a sample.

    Args:
        engine: Its name.
        cosine: Least cosine between the two over the images of the sample and the groups of features.
        images: In the sample.
        note: What a person should know; empty when nothing.
    """

    engine: str
    cosine: float
    images: int
    note: str = ""


@final
class TorchEngine:
    """PyTorch without gradients: batch normalisation folded, channels last."""

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self._device = device
        on_device = folded(module).to(device)
        self._module = on_device.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.name = f"torch ({device})"

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Run a batch."""
        with torch.inference_mode():
            return self._module(torch.from_numpy(pixels).to(self._device)).float().cpu().numpy()


@final
class OpenVinoEngine:
    """OpenVINO on the processor, compiled for one batch size.

    Args:
        module: uint8 images to numbers.
        batch: Images at a time.
        image: Height, width and channels of one.
        bf16: Whether products are taken in bfloat16.
    """

    def __init__(self, module: nn.Module, batch: int, image: tuple[int, int, int], *, bf16: bool = False) -> None:
        try:
            import openvino
        except ImportError as error:
            raise EngineError(
                "OpenVINO is not installed", hint="pip install openvino, or choose engine torch"
            ) from error
        example = torch.zeros((1, *image), dtype=torch.uint8)  # a batch would cost its maps, and teach no more
        try:
            with warnings.catch_warnings(), torch.no_grad():  # with gradients, tracing would keep every map: gigabytes
                warnings.simplefilter("ignore")  # tracing warns of every shape that it fixes, as it should here
                graph = openvino.convert_model(module.eval(), example_input=example, input=[(batch, *image)])
            settings: dict[str, Any] = {
                "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
                "PERFORMANCE_HINT": "LATENCY",  # one stream over all cores: the same numbers whatever the load
                "INFERENCE_NUM_THREADS": cpu_threads(),
            }
            self._compiled = openvino.Core().compile_model(graph, "CPU", settings)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise EngineError(f"OpenVINO cannot run this network: {reason}", hint="choose engine torch") from error
        self._request = self._compiled.create_infer_request()
        self.name = "openvino-bf16" if bf16 else "openvino"

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Run a batch."""
        return np.array(self._request.infer([pixels])[0], dtype=np.float32)


def make(
    module: nn.Module,
    *,
    batch: int,
    image: tuple[int, int, int],
    engine: EngineName,
    device: torch.device,
    sample: np.ndarray,
    groups: Sequence[int],
    progress: ProgressCallback,
) -> tuple[Engine, Agreement]:
    """The engine asked for, or the fastest that agrees with eager float32 on a sample.

    Args:
        module: uint8 images to numbers.
        batch: Images at a time.
        image: Height, width and channels of one.
        engine: ``auto`` takes OpenVINO float32 on processors and PyTorch elsewhere or where OpenVINO cannot go.
        device: Of the run.
        sample: Decoded images, ``[n, h, w, channels]``, n at least 1.
        groups: Lengths of the parts of the output that are compared each for itself (one a stage); they add up to it.
        progress: Hears when the engine is not the first choice.

    Raises:
        EngineError: An engine asked for by name cannot run here.
    """
    module = module.to(device)  # its normalisation may have been built on another device than its network
    reference = _eager(module, sample)
    if engine in ("openvino", "openvino-bf16"):
        chosen: Engine = OpenVinoEngine(module, batch, image, bf16=engine == "openvino-bf16")
        return chosen, _compare(chosen, batch, sample, reference, groups)
    fallback = TorchEngine(module, device)
    if engine == "torch" or device.type != "cpu":
        return fallback, _compare(fallback, batch, sample, reference, groups)
    note = ""
    try:
        first: Engine = OpenVinoEngine(module, batch, image)
        agreement = _compare(first, batch, sample, reference, groups)
        if agreement.cosine >= LEAST_AGREEMENT:
            return first, agreement
        note = f"OpenVINO's features agreed only to a cosine of {agreement.cosine:.4f}, so PyTorch runs instead"
    except EngineError as error:
        note = f"{error.message}; PyTorch runs instead"
    progress.note(note)
    agreement = _compare(fallback, batch, sample, reference, groups)
    return fallback, Agreement(engine=fallback.name, cosine=agreement.cosine, images=agreement.images, note=note)


def run_padded(engine: Engine, pixels: np.ndarray, batch: int) -> np.ndarray:
    """Run up to `batch` images on an engine that takes exactly `batch`: zeros fill up and are cut off again."""
    count = len(pixels)
    if count == batch:
        return engine.run(pixels)
    full = np.zeros((batch, *pixels.shape[1:]), dtype=np.uint8)
    full[:count] = pixels
    return engine.run(full)[:count]


def _eager(module: nn.Module, sample: np.ndarray) -> np.ndarray:
    device = next((each.device for each in module.parameters()), None)
    with torch.inference_mode():
        return module.eval()(torch.from_numpy(sample).to(device)).float().cpu().numpy()


def _compare(engine: Engine, batch: int, sample: np.ndarray, reference: np.ndarray, groups: Sequence[int]) -> Agreement:
    parts = [run_padded(engine, sample[i : i + batch], batch) for i in range(0, len(sample), batch)]
    got, want = np.concatenate(parts).reshape(len(sample), -1), reference.reshape(len(sample), -1)
    least, start = 1.0, 0
    for width in groups:
        a, b = got[:, start : start + width], want[:, start : start + width]
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        least = min(least, float(np.min((a * b).sum(1) / np.maximum(norms, 1e-12))))
        start += width
    low = least < LEAST_AGREEMENT
    note = f"features agree with eager float32 only to a cosine of {least:.4f}" if low else ""
    return Agreement(engine=engine.name, cosine=least, images=len(sample), note=note)
