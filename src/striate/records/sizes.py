"""Size of a network: the record of ``striate show``."""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One layer, at batch size 1. In-place operations and operations that return a tensor view are not layers.

    Args:
        name: Dotted path of the module.
        type: ``conv``, ``linear``, ``norm``, ``pool``, ``act``, ``sum``, ``product``, ``concat`` or ``other``.
        input: Input shape without the batch dimension.
        output: Output shape without the batch dimension.
        params: Number of trainable parameters.
        weights: Number of parameters of convolutions and linear layers, without biases.
        units: Number of output elements of convolutions and linear layers.
        connections: Pairs of an output element and an input element that it depends on, in convolutions and linear
            layers.
        macs: Multiply-adds of convolutions and linear layers.
        activation_bytes: Size of the output in bytes.
        receptive_field: Height and width of the receptive field of an output position, in input pixels, including
            padding; None if it is unknown.
        stride: Output stride: input pixels from one output position to the next, vertically and horizontally; None if
            it is unknown, or not an integer (after upsampling).
        padding: Input pixels of the first output position's receptive field above and left of the image, below 0 if the
            field starts inside; None if it is unknown.
    """

    name: str
    type: str
    input: tuple[int, ...]
    output: tuple[int, ...]
    params: int = 0
    weights: int = 0
    units: int = 0
    connections: int = 0
    macs: int = 0
    activation_bytes: int = 0
    receptive_field: Pair | None = None
    stride: Pair | None = None
    padding: Pair | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """Sums over the layers of one stage, at batch size 1.

    Args:
        name: ``stem``, ``stage1``, ..., ``head``; empty for operations outside of all stages.
        layers: Number of layers.
        output: Output shape without the batch dimension.
        params: Number of trainable parameters.
        weights: Number of parameters of convolutions and linear layers, without biases.
        units: Number of output elements of convolutions and linear layers.
        connections: Number of connections of convolutions and linear layers.
        macs: Multiply-adds of convolutions and linear layers.
        activation_bytes: Size of all layer outputs in bytes.
        receptive_field: Receptive field of the output, in pixels; None if it is unknown.
        stride: Output stride, in pixels; None if it is unknown.
    """

    name: str
    layers: int
    output: tuple[int, ...]
    params: int
    weights: int
    units: int
    connections: int
    macs: int
    activation_bytes: int
    receptive_field: Pair | None
    stride: Pair | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeTotals:
    """Sums over the layers, at batch size 1.

    Args:
        params: Number of trainable parameters, without auxiliary heads.
        weights: Number of parameters of convolutions and linear layers, without biases.
        units: Number of output elements of convolutions and linear layers.
        connections: Number of connections of convolutions and linear layers.
        macs: Multiply-adds of convolutions and linear layers.
        activation_bytes: Size of the image and of all layer outputs in bytes.
        receptive_field: Height and width of the receptive field at the input of the head, in pixels; for a decoder that
            reads several stages, at the last one. None if it is unknown.
        stride: Output stride at the input of the head, in pixels; None if it is unknown.
        depth: Number of modules with parameters, including normalisation layers.
        file_bytes: Size of all parameters and buffers in bytes, which is the size of a weights file without its header.
        aux_params: Number of trainable parameters of the auxiliary heads, which the built network has beside `params`.
    """

    params: int
    weights: int
    units: int
    connections: int
    macs: int
    activation_bytes: int
    receptive_field: Pair | None
    stride: Pair | None
    depth: int
    file_bytes: int
    aux_params: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fits:
    """What fits into a given memory, for inference or for training.

    Args:
        peak_bytes: Peak memory at batch size 1, in bytes.
        largest_batch: Largest batch size; 0 if not even one image fits.
        largest_side: Side of the largest square image at batch size 1, in pixels, to within 1/64; 0 if none fits.
    """

    peak_bytes: int
    largest_batch: int
    largest_side: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRecord:
    """What fits into a given memory.

    Args:
        given_bytes: The memory in bytes.
        optimiser: Optimiser of the training, whose state takes memory too.
        kept_bytes: Bytes that autograd saves per image for the backward pass, by stage.
        forward: A forward pass without gradients.
        training: A training step.
    """

    given_bytes: int
    optimiser: str
    kept_bytes: dict[str, int]
    forward: Fits
    training: Fits


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRecord:
    """The size of a network for one input shape.

    Args:
        name: Name of the network.
        input: Channels, height and width of the image.
        classes: Number of classes.
        totals: Sums over all layers.
        stages: The stages in the order of execution, with the head last.
        layers: The layers in the order of execution.
        note: A note to show with the numbers; empty for most networks.
        memory: What fits into a given memory; None if no memory was given.
    """

    name: str
    input: tuple[int, int, int]
    classes: int
    totals: SizeTotals
    stages: tuple[StageRow, ...]
    layers: tuple[LayerRow, ...]
    note: str = ""
    memory: MemoryRecord | None = None
