"""ODE-Net: an ordinary differential equation, integrated from time 0 to 1, replaces a sequence of residual units.

Source: Chen et al. 2018, section 3 and Table 1; layers as in the authors' published example for MNIST.

======  ==========  ==================================================  ===================
stage   output      layers                                              paper's name
======  ==========  ==================================================  ===================
stem    26 x 26     3x3 convolution, 64, group norm                     downsampling
stage1  13 x 13     4x4 convolution, 64, stride 2, group norm           downsampling
stage2  6 x 6       4x4 convolution, 64, stride 2, the equation, norm   downsampling, ODE
======  ==========  ==================================================  ===================

How often the equation is evaluated is the solver's choice, image by image: ``model.stage2.flow.evaluations`` holds
the number of the last forward pass, ``backward_evaluations`` that of the adjoint pass after it. A solver with error
control takes the same steps for the whole batch, so answers move with their batch by as much as the tolerance; solvers
with equal steps do not. Departures: none; weights begin as He et al. 2015 say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final, get_args

import torch
from torch import Tensor, nn
from torch.fx import Proxy

from striate.core.errors import PlanError
from striate.core.paper import Paper
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.heads import pooled_head
from striate.nn.init import he
from striate.nn.sequence import sequence
from striate.nn.tracing import as_one_step, is_recorded

PAPER = Paper(
    authors="Chen, Rubanova, Bettencourt, Duvenaud",
    year=2018,
    month=6,
    title="Neural Ordinary Differential Equations",
    ref="arXiv 1806.07366",
)

Adaptive = Literal["dopri5", "adaptive_heun"]
EqualSteps = Literal["euler", "midpoint", "rk4"]
Gradients = Literal["adjoint", "direct"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ODENetSpec:
    """Sizes of the network, and how its equation is solved.

    Args:
        width: Maps of every layer.
        groups: Groups of maps that are normalised together.
        solver: One that controls its error (``dopri5``, ``adaptive_heun``), or one that takes `steps` equal steps
            (``euler``, ``midpoint``, ``rk4``).
        tolerance: Error that a solver with control allows a step, relative and absolute.
        steps: Steps of a solver without control.
        gradients: ``"adjoint"`` solves a second equation backwards, in memory that does not grow with the evaluations;
            ``"direct"`` differentiates through the solver's own steps.
        max_evaluations: Evaluations in one direction after which the equation is given up.
    """

    width: int = 64
    groups: int = 32
    solver: Adaptive | EqualSteps = "dopri5"
    tolerance: float = 1e-3
    steps: int = 1
    gradients: Gradients = "adjoint"
    max_evaluations: int = 1000

    def __post_init__(self) -> None:
        if min(self.width, self.groups, self.steps, self.max_evaluations) < 1 or self.width % self.groups:
            raise ValueError(f"sizes and counts are at least 1, and groups divide the width; got {self}")
        known = (*get_args(Adaptive), *get_args(EqualSteps))
        if self.solver not in known:
            raise ValueError(f"solver is one of {', '.join(known)}; got {self.solver!r}")
        if not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance is above 0 and below 1; got {self.tolerance}")
        if self.gradients not in get_args(Gradients):
            raise ValueError(f"gradients is 'adjoint' or 'direct'; got {self.gradients!r}")


VARIANTS = {"odenet_mnist": ODENetSpec()}
TINY = ODENetSpec(width=4, groups=2, solver="euler", gradients="direct")  # one evaluation, as sizing counts it


@final
class TimeConv2d(nn.Module):
    """A 3x3 convolution with the time as one more input channel.

    Shape:
        Time ``[]`` and maps ``[n, width, h, w]`` to ``[n, width, h, w]``.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width + 1, width, 3, padding=1)

    def forward(self, time: Tensor, x: Tensor) -> Tensor:
        """Put the time before the maps, and convolve."""
        clock = time.to(x.dtype).expand(x.shape[0], 1, *x.shape[2:])
        return self.conv(torch.cat([clock, x], dim=1))


@final
class Derivative(nn.Module):
    """How fast maps change at a time: the function that a residual unit would add.

    Args:
        spec: Sizes.

    Shape:
        Time ``[]`` and maps ``[n, width, h, w]`` to ``[n, width, h, w]``.
    """

    def __init__(self, spec: ODENetSpec) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(spec.groups, spec.width)
        self.conv1 = TimeConv2d(spec.width)
        self.norm2 = nn.GroupNorm(spec.groups, spec.width)
        self.conv2 = TimeConv2d(spec.width)
        self.norm3 = nn.GroupNorm(spec.groups, spec.width)
        self.act = nn.ReLU(inplace=True)

    def forward(self, time: Tensor, x: Tensor) -> Tensor:
        """Evaluate it once."""
        x = self.conv1(time, self.act(self.norm1(x)))
        x = self.conv2(time, self.act(self.norm2(x)))
        return self.norm3(x)


@final
class Flow(nn.Module):
    """Carry maps from time 0 to time 1 along a derivative.

    Args:
        derivative: Called with a time and maps; gives how fast the maps change.
        spec: How the equation is solved.

    Shape:
        ``[n, width, h, w]`` to the same.
    """

    def __init__(self, derivative: nn.Module, spec: ODENetSpec) -> None:
        super().__init__()
        self.derivative = _Counted(derivative, spec.max_evaluations)
        self.spec = spec
        self.evaluations = 0

    @property
    def backward_evaluations(self) -> int:
        """Evaluations of the adjoint pass since the last forward pass; 0 with direct gradients."""
        return self.derivative.calls

    def forward(self, x: Tensor) -> Tensor:
        """Solve the equation; on the meta device, where no error can be seen, take one Euler step.

        A graph of torch.fx calls this module. torch.export records solvers with equal steps only.

        Raises:
            PlanError: The equation needs more evaluations than are allowed, or steps too small to take; or its steps
                are to be recorded and depend on the images.
        """
        if isinstance(x, Proxy):
            return as_one_step(self, x)
        if is_recorded(x) and self.spec.solver in get_args(EqualSteps):
            return self._equal_steps(x)
        if torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling():
            raise PlanError(
                f"the steps of {self.spec.solver} depend on the images, so torch.export cannot record them",
                hint="build the network with a solver of equal steps, such as options={'solver': 'rk4', 'steps': 4}",
            )
        times = torch.tensor([0.0, 1.0], dtype=x.dtype, device=x.device)
        if x.is_meta:
            return x + self.derivative(times[0], x)
        if not x.isfinite().all():  # no step would be small enough
            return x * torch.nan
        from torchdiffeq import odeint, odeint_adjoint

        spec = self.spec
        solve = odeint_adjoint if spec.gradients == "adjoint" else odeint
        options = {"step_size": 1 / spec.steps} if spec.solver in get_args(EqualSteps) else {}
        self.derivative.calls = 0
        try:
            path = solve(
                self.derivative, x, times, rtol=spec.tolerance, atol=spec.tolerance, method=spec.solver, options=options
            )
        except AssertionError as error:  # how torchdiffeq says that it cannot go on
            raise PlanError(
                f"{spec.solver} cannot follow this equation at a tolerance of {spec.tolerance:g}: {error}",
                hint="the weights may have grown without bound: train with a smaller learning rate",
            ) from error
        self.evaluations, self.derivative.calls = self.derivative.calls, 0
        assert isinstance(path, Tensor)
        return path[-1]

    def _equal_steps(self, x: Tensor) -> Tensor:
        """What torchdiffeq computes with a solver of equal steps, without a look at any number."""
        width = 1 / self.spec.steps

        def slope(time: float, x: Tensor) -> Tensor:
            return self.derivative.function(x.new_tensor(time), x)

        for start in (index * width for index in range(self.spec.steps)):
            first = slope(start, x)
            if self.spec.solver == "midpoint":
                first = slope(start + width / 2, x + width / 2 * first)
            elif self.spec.solver == "rk4":  # the 3/8 rule
                second = slope(start + width / 3, x + width / 3 * first)
                third = slope(start + 2 * width / 3, x + width * (second - first / 3))
                fourth = slope(start + width, x + width * (first - second + third))
                first = (first + 3 * (second + third) + fourth) / 8
            x = x + width * first
        return x


@final
class _Counted(nn.Module):
    """A derivative that counts how often it is asked, and refuses at a limit."""

    def __init__(self, function: nn.Module, most: int) -> None:
        super().__init__()
        self.function = function
        self.most = most
        self.calls = 0

    def forward(self, time: Tensor, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls > self.most:
            raise PlanError(
                f"the equation needs more than {self.most} evaluations",
                hint="raise the option 'max_evaluations' or 'tolerance', or train with a smaller learning rate",
            )
        return self.function(time, x).to(x.dtype)


@final
class ODENet(ImageModel):
    """The network for MNIST.

    Args:
        spec: Sizes, and how the equation is solved.
    """

    size_note = "the differential equation counts as one evaluation; a run takes as many as its solver needs"

    def __init__(self, spec: ODENetSpec, *, classes: int = 10, in_channels: int = 1) -> None:
        super().__init__(in_channels=in_channels, classes=classes, min_side=6)
        width, groups = spec.width, spec.groups
        stem = sequence(conv=nn.Conv2d(in_channels, width, 3), norm=nn.GroupNorm(groups, width), act=nn.ReLU())
        stage1 = sequence(
            conv=nn.Conv2d(width, width, 4, stride=2, padding=1), norm=nn.GroupNorm(groups, width), act=nn.ReLU()
        )
        stage2 = sequence(
            conv=nn.Conv2d(width, width, 4, stride=2, padding=1),
            flow=Flow(Derivative(spec), spec),
            norm=nn.GroupNorm(groups, width),
            act=nn.ReLU(),
        )
        self.add_stage("stem", stem, width)
        self.add_stage("stage1", stage1, width, stride=2)
        self.add_stage("stage2", stage2, width, stride=2)
        self.head = pooled_head(width, classes)
        he(self)


register(ODENet, VARIANTS, tiny=TINY, paper=PAPER, input=(1, 28, 28), classes=10)
