"""What a network costs before it runs: what ``striate show`` presents."""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One layer, at batch 1. A layer is what makes new maps: in-place operations and reshapes are not layers.

    Args:
        name: Dotted path of the module it runs in.
        type: ``conv``, ``linear``, ``norm``, ``pool``, ``act``, ``sum``, ``product``, ``concat`` or ``other``.
        input: Shape without the batch.
        output: Shape without the batch.
        params: Everything that training can change.
        weights: Parameters without biases, of convolutions and linear layers.
        units: Output elements, of convolutions and linear layers.
        connections: Pairs of an output element and an input element that it reads, of convolutions and linear layers.
        macs: Multiply-adds, of convolutions and linear layers.
        activation_bytes: Size of the output.
        receptive_field: Height and width in input pixels, including the part that lies
            outside the image included; None if it is unknown.
        stride: Input pixels from one output position to the next; None if it is unknown, and after upsampling
            where it is no whole number of pixels.
        padding: Input pixels above and left of the image in the first receptive field, below 0 where it
            begins inside; None if it is unknown.
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
    """What the layers of one stage cost together, at batch 1.

    Args:
        name: ``stem``, ``stage1``, ..., ``head``; empty for work outside all of them.
        layers: Rows of the table of layers.
        output: Shape of what leaves it, without the batch.
        params: Everything that training can change.
        weights: Parameters without biases, of convolutions and linear layers.
        units: Output elements, of convolutions and linear layers.
        connections: Of convolutions and linear layers.
        macs: Multiply-adds, of convolutions and linear layers.
        activation_bytes: Size of all outputs.
        receptive_field: Of what leaves it; None if it is unknown.
        stride: Of what leaves it; None if it is unknown.
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
    """Sums over the layers, at batch 1.

    Args:
        params: Everything that training can change, auxiliary heads left out.
        weights: Without biases, of convolutions and linear layers.
        units: Output elements of convolutions and linear layers.
        connections: Of convolutions and linear layers.
        macs: Multiply-adds of convolutions and linear layers.
        activation_bytes: The image and every layer's output.
        receptive_field: Of what enters the head, height and width in pixels; of a decoder that reads several stages,
            of the highest. None if it is unknown.
        stride: Of what enters the head; None if it is unknown.
        depth: Layers with weights: modules that hold parameters of their own, normalisations included.
        file_bytes: Size of all parameters and statistics, which is that of a file of weights but for its header.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Fits:
    """What fits into a memory, in one mode.

    Args:
        peak_bytes: The most that is held at once for one image.
        largest_batch: Images at once; 0 where not one fits.
        largest_side: Of one square image, to within a sixty-fourth; 0 where none fits.
    """

    peak_bytes: int
    largest_batch: int
    largest_side: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRecord:
    """What fits into a memory.

    Args:
        given_bytes: The memory.
        optimiser: Whose state training holds too.
        kept_bytes: What autograd keeps of one image for the backward pass, by stage.
        forward: Without gradients.
        training: A whole step.
    """

    given_bytes: int
    optimiser: str
    kept_bytes: dict[str, int]
    forward: Fits
    training: Fits


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRecord:
    """A network's cost for one input.

    Args:
        name: Of the network.
        input: Channels, height and width.
        classes: Length of the output.
        totals: Over all layers.
        stages: In the order in which they run, the head last.
        layers: In the order in which they run.
        note: What should be said beside the numbers; empty for most networks.
        memory: What fits into a given memory; None where none was given.
    """

    name: str
    input: tuple[int, int, int]
    classes: int
    totals: SizeTotals
    stages: tuple[StageRow, ...]
    layers: tuple[LayerRow, ...]
    note: str = ""
    memory: MemoryRecord | None = None
