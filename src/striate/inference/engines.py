"""Engines run a network in inference: the fastest one on this machine that agrees with eager PyTorch.

OpenVINO in float32 is 2 to 7 times faster than eager PyTorch on x86 processors and agrees to about 1e-6. In bfloat16
it is faster still, but its features can differ. It runs only when the user asks for it, and the record states the
difference.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, final

import numpy as np
import torch
from torch import nn

from striate.core.device import cpu_threads
from striate.core.errors import EngineError
from striate.core.events import ProgressCallback
from striate.inference.fold import folded
from striate.records.plans import EngineName

MIN_AGREEMENT = 0.999
EngineChoice = EngineName | Literal["eager"]


class Engine(Protocol):
    """Runs one network on batches."""

    @property
    def name(self) -> str:
        """``openvino``, ``openvino-bf16``, ``torch`` with its device, or ``eager``."""
        ...

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Run a batch.

        Args:
            pixels: uint8 ``[n, h, w, channels]``; n is at most the engine's batch size.

        Returns:
            float32 ``[n, ...]``.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How well an engine agrees with eager float32 on a sample of images.

    Args:
        engine: Name of the engine.
        cosine: Lowest cosine similarity between the two outputs, over the images of the sample and the groups of
            features.
        images: Number of images in the sample.
        note: What the user should know; empty if there is nothing.
    """

    engine: str
    cosine: float
    images: int
    note: str = ""


@final
class EagerEngine:
    """PyTorch without gradients, the module as it is. Nothing is prepared, so it suits a few images at a time.

    Args:
        module: uint8 images to outputs, on its device.
    """

    name = "eager"

    def __init__(self, module: nn.Module) -> None:
        self._module = module.eval()

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Run a batch."""
        device = next((each.device for each in self._module.parameters()), None)
        with torch.inference_mode():
            return self._module(torch.from_numpy(pixels).to(device)).float().cpu().numpy()


@final
class TorchEngine:
    """PyTorch without gradients: batch normalisation folded into the convolutions, channels last.

    Args:
        module: uint8 images to outputs.
        batch: Batch size; a smaller batch is padded, so that an image's output does not depend on its batch.
        device: Where it runs.
    """

    def __init__(self, module: nn.Module, batch: int, device: torch.device) -> None:
        self._batch, self._device = batch, device
        on_device = folded(module).to(device)
        self._module = on_device.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.name = f"torch ({device})"

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Run a batch."""
        full = torch.from_numpy(_padded(pixels, self._batch)).to(self._device)
        with torch.inference_mode():
            return self._module(full).float().cpu().numpy()[: len(pixels)]


@final
class OpenVinoEngine:
    """OpenVINO on the processor, compiled for one batch size.

    Args:
        module: uint8 images to outputs.
        batch: Batch size; a smaller batch is padded.
        image: Height, width and channels of one image.
        bf16: Whether matrix products run in bfloat16.

    Raises:
        EngineError: OpenVINO is not installed, or cannot run the network.
    """

    def __init__(self, module: nn.Module, batch: int, image: tuple[int, int, int], *, bf16: bool = False) -> None:
        try:
            import openvino
        except ImportError as error:
            raise EngineError(
                "OpenVINO is not installed", hint="pip install openvino, or choose --engine torch"
            ) from error
        except RuntimeError as error:  # its telemetry asks for a home folder
            raise EngineError(f"OpenVINO cannot start here: {error}", hint="choose --engine torch") from error
        example = torch.zeros((1, *image), dtype=torch.uint8)  # one image traces as well as a batch, in less memory
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
            raise EngineError(f"OpenVINO cannot run this network: {reason}", hint="choose --engine torch") from error
        self._batch = batch
        self._request = self._compiled.create_infer_request()
        self.name = "openvino-bf16" if bf16 else "openvino"

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Run a batch."""
        return np.array(self._request.infer([_padded(pixels, self._batch)])[0][: len(pixels)], dtype=np.float32)


def make(
    module: nn.Module,
    *,
    batch: int,
    image: tuple[int, int, int],
    engine: EngineChoice,
    device: torch.device,
    sample: np.ndarray,
    groups: Sequence[int],
    progress: ProgressCallback,
) -> tuple[Engine, Agreement]:
    """Make the engine that was asked for, or the fastest one that agrees with eager float32 on a sample.

    Args:
        module: uint8 images to outputs.
        batch: Largest batch that will run.
        image: Height, width and channels of one image.
        engine: ``auto`` takes OpenVINO in float32 on processors, and PyTorch on other devices or if OpenVINO cannot run
            the network. ``eager`` runs the module as it is, without a comparison.
        device: Where PyTorch runs.
        sample: Decoded images, ``[n, h, w, channels]``. With n = 0 there is nothing to compare, so ``eager`` runs.
        groups: Widths of the parts of the output that are compared one by one (one per stage); they add up to its
            width.
        progress: Receives a note if the engine is not the first choice.

    Raises:
        EngineError: An engine that was asked for by name cannot run here.
    """
    module = module.to(device)  # its normalisation may have been built on another device than its network
    if engine == "eager" or not len(sample):
        eager = EagerEngine(module)
        return eager, Agreement(engine=eager.name, cosine=1.0, images=0)
    progress.phase("preparing the inference engine")
    reference = EagerEngine(module).run(sample)
    if engine in ("openvino", "openvino-bf16"):
        chosen: Engine = OpenVinoEngine(module, batch, image, bf16=engine == "openvino-bf16")
        return chosen, _compare(chosen, batch, sample, reference, groups)
    fallback = TorchEngine(module, batch, device)
    if engine == "torch" or device.type != "cpu":
        return fallback, _compare(fallback, batch, sample, reference, groups)
    try:
        first: Engine = OpenVinoEngine(module, batch, image)
        agreement = _compare(first, batch, sample, reference, groups)
        if agreement.cosine >= MIN_AGREEMENT:
            return first, agreement
        note = f"OpenVINO's outputs agree with PyTorch only to a cosine of {agreement.cosine:.4f}; PyTorch runs instead"
    except EngineError as error:
        note = f"{error.message}; PyTorch runs instead"
    progress.note(note)
    agreement = _compare(fallback, batch, sample, reference, groups)
    return fallback, Agreement(engine=fallback.name, cosine=agreement.cosine, images=agreement.images, note=note)


def _padded(pixels: np.ndarray, batch: int) -> np.ndarray:
    """A full batch: zeros follow the images."""
    if len(pixels) == batch:
        return pixels
    full = np.zeros((batch, *pixels.shape[1:]), dtype=np.uint8)
    full[: len(pixels)] = pixels
    return full


def _compare(engine: Engine, batch: int, sample: np.ndarray, reference: np.ndarray, groups: Sequence[int]) -> Agreement:
    parts = [engine.run(sample[i : i + batch]) for i in range(0, len(sample), batch)]
    got, want = np.concatenate(parts).reshape(len(sample), -1), reference.reshape(len(sample), -1)
    lowest, start = 1.0, 0
    for width in groups:
        a, b = got[:, start : start + width], want[:, start : start + width]
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        lowest = min(lowest, float(np.min((a * b).sum(1) / np.maximum(norms, 1e-12))))
        start += width
    note = f"outputs agree with eager float32 only to a cosine of {lowest:.4f}" if lowest < MIN_AGREEMENT else ""
    return Agreement(engine=engine.name, cosine=lowest, images=len(sample), note=note)
