"""The network whose middle is a differential equation: solvers against what they solve."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from striate.core.errors import PlanError
from striate.models import REGISTRY, odenet
from striate.models.odenet import TINY, Derivative, Flow, ODENetSpec
from striate.sizing import measure


class Decay(nn.Module):
    """x' = -rate x, so that x(1) = x(0) exp(-rate)."""

    def __init__(self, rate: float = 1.0) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(rate, dtype=torch.float64))

    def forward(self, time: Tensor, x: Tensor) -> Tensor:
        return -self.rate * x


def flow(**options: object) -> Flow:
    return Flow(Decay(), ODENetSpec(**options))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("solver", ["dopri5", "adaptive_heun"])
def test_a_solver_with_control_is_as_exact_as_asked_and_pays_for_it(solver: str) -> None:
    x = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    loose, tight = flow(solver=solver, tolerance=1e-2), flow(solver=solver, tolerance=1e-6)
    torch.testing.assert_close(tight(x), x * math.exp(-1), rtol=1e-5, atol=1e-5)
    loose(x)
    assert tight.evaluations > loose.evaluations > 0


@pytest.mark.parametrize(("solver", "order", "stages"), [("euler", 1, 1), ("midpoint", 2, 2), ("rk4", 4, 4)])
def test_equal_steps_converge_at_their_order(solver: str, order: int, stages: int) -> None:
    x = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    errors = []
    for steps in (4, 8):
        solved = flow(solver=solver, steps=steps)
        errors.append(abs(solved(x).item() - math.exp(-1)))
        assert solved.evaluations == steps * stages
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.15)


def test_adjoint_and_direct_gradients_agree() -> None:
    """With steps so small that both ways follow the same path, rectifiers' kinks included."""
    x = torch.rand(2, 1, 14, 14, dtype=torch.float64)
    found = {}
    for gradients in ("adjoint", "direct"):
        torch.manual_seed(0)
        options = {"solver": "rk4", "steps": 256, "gradients": gradients, "max_evaluations": 5000}
        model = REGISTRY.get("odenet_mnist").create(options={"groups": 2, "width": 4, **options}).double()
        model(x).square().sum().backward()
        found[gradients] = {name: parameter.grad for name, parameter in model.named_parameters()}
        assert (model.get_submodule("stage2.flow").backward_evaluations > 0) == (gradients == "adjoint")
    assert any("flow" in name for name in found["direct"])
    for name, gradient in found["direct"].items():
        torch.testing.assert_close(found["adjoint"][name], gradient, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("gradients", ["adjoint", "direct"])
def test_the_derivative_with_respect_to_a_parameter_is_exact(gradients: str) -> None:
    solved = flow(tolerance=1e-9, gradients=gradients)
    solved(torch.full((1, 1, 1, 1), 2.0, dtype=torch.float64)).sum().backward()
    grad = solved.derivative.function.rate.grad
    assert isinstance(grad, Tensor)
    assert grad.item() == pytest.approx(-2 * math.exp(-1), rel=1e-6)  # d/dk of 2 exp(-k) at 1


def test_time_reaches_the_equation() -> None:
    torch.manual_seed(0)
    derivative = REGISTRY.get("odenet_mnist").create().get_submodule("stage2.flow.derivative")
    x = torch.rand(1, 64, 6, 6)
    assert not torch.equal(derivative(torch.tensor(0.0), x), derivative(torch.tensor(1.0), x))


def test_what_cannot_be_solved_is_named() -> None:
    x = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    limited = flow(tolerance=1e-9, max_evaluations=10)
    with pytest.raises(PlanError, match="more than 10 evaluations"):
        limited(x)
    runaway = Flow(Decay(-1e9), ODENetSpec())
    with pytest.raises(PlanError, match=r"dopri5 cannot follow|more than 1000"):
        runaway(x)
    assert flow()(x * torch.nan).isnan().all()
    for wrong in ({"solver": "magic"}, {"tolerance": 0.0}, {"gradients": "none"}, {"groups": 5}, {"steps": 0}):
        with pytest.raises(PlanError, match=f"option '{next(iter(wrong))}' cannot be"):
            REGISTRY.get("odenet_mnist").create(options=wrong)


def test_sizes_count_one_evaluation_and_note_it() -> None:
    model = REGISTRY.get("odenet_mnist").create()
    record = measure(model, (1, 28, 28))
    evaluation = [row for row in record.layers if "flow.derivative" in row.name]
    assert sum(row.macs for row in evaluation) == 2 * 65 * 64 * 9 * 36
    assert "one evaluation" in record.note
    assert measure(REGISTRY.get("lenet5").create(), (1, 32, 32)).note == ""
    model(torch.rand(1, 1, 28, 28))
    assert model.get_submodule("stage2.flow").evaluations > 1


def test_a_batch_in_half_precision_runs() -> None:
    model = REGISTRY.get("odenet_mnist").build(TINY, classes=3, in_channels=1).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(torch.rand(2, 1, 28, 28)).isfinite().all()


@pytest.mark.parametrize("solver", ["euler", "midpoint", "rk4"])
def test_recorded_steps_are_those_of_the_solver(solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ODENetSpec(width=4, groups=2, solver=solver, steps=3)  # pyright: ignore[reportArgumentType]
    solved = Flow(Derivative(spec), spec).double()
    x = torch.rand(2, 4, 5, 5, dtype=torch.float64)
    expected = solved(x)
    assert solved.evaluations > 0
    monkeypatch.setattr(odenet, "is_recorded", lambda x: True)
    torch.testing.assert_close(solved(x), expected)


def test_a_solver_whose_steps_depend_on_the_images_is_not_exported() -> None:
    model = REGISTRY.get("odenet_mnist").create().eval()
    with pytest.raises(PlanError, match=r"the steps of dopri5 depend on the images.*'rk4'"):
        torch.export.export(model, (torch.rand(2, 1, 28, 28),), strict=False)
