"""Gradient flow dq/dt = -g(q), the limit of gradient descent for small steps: the reference of continuous-time theory.

Integrated in float64 by the embedded pair of Dormand and Prince (1980), scipy's RK45. Each replica has its own adaptive
steps, so that its path does not depend on its companions.

It is meant for smooth activations. A ReLU's gradient jumps where an example's pre-activation changes sign; where it
drives the pre-activation back from both sides, the path slides along the jump, in steps as small as ``rtol`` demands.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import RK45
from scipy.linalg import norm
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.models.model import Model, State

Array = NDArray[np.float64]
MOST_STEPS = 10_000  # hundreds of times what a smooth loss takes for a step of training
FINEST = 100 * float(np.finfo(np.float64).eps)  # scipy replaces smaller tolerances by this one


def advance(gradient: Callable[[Array], Array], start: Array, time: float, *, rtol: float) -> Array:
    """Return q(time) of dq/dt = -g(q), q(0) = ``start``.

    Steps are chosen so that the root mean square of ``error_i / (rtol (|q_i| + s))`` is below 1 in each, where s is the
    root mean square of ``start`` (1 if that is zero): entries near zero are as exact as the typical one.

    Args:
        gradient: g, ``[P]`` -> ``[P]``.
        start: ``[P]``.
        time: How far to go, in units of the learning rate.
        rtol: Relative tolerance of a step.

    Returns:
        ``[P]``; NaN throughout if a gradient that is not finite bars the way.

    Raises:
        SymbreakError: If ``rtol`` is below 100 units of rounding, or the solver fails or needs more than ``MOST_STEPS``
            steps although all gradients are finite.
    """
    if rtol < FINEST:
        raise SymbreakError(f"'rtol' is {rtol:g}, but float64 allows no tolerance below {FINEST:.1e}; make it larger")
    field = _Field(gradient)
    scale = float(norm(start / np.sqrt(start.size))) or 1.0  # BLAS's norm squares nothing that could overflow
    with np.errstate(all="ignore"):  # the solver makes its steps smaller where a trial step leaves the finite numbers
        solver = RK45(field, 0.0, start, time, rtol=rtol, atol=rtol * scale)
        for _ in range(MOST_STEPS):
            # with a first slope that is not finite the solver would try one step for ever
            if solver.status != "running" or not np.isfinite(solver.f).all():
                break
            solver.step()
    if solver.status == "finished":
        return np.asarray(solver.y)
    if field.finite:
        raise SymbreakError(
            f"the gradient flow got to time {solver.t:g} of {time:g} with a last step of {solver.step_size:.1e}; "
            f"make 'lr' smaller, 'rtol' (now {rtol:g}) larger, or take a smooth activation"
        )
    return np.full_like(start, np.nan)


class _Field:
    """The right-hand side -g(q), which remembers whether all its values were finite."""

    def __init__(self, gradient: Callable[[Array], Array]) -> None:
        self.gradient = gradient
        self.finite = True

    def __call__(self, _: float, point: Array) -> Array:
        slope = -self.gradient(point)
        self.finite &= bool(np.isfinite(slope).all())
        return slope


def flow_step(
    model: Model,
    state: State,
    x: Tensor,
    labels: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    time: float,
    rtol: float,
    weight_decay: float,
) -> None:
    """Let every replica's parameters flow down their mean loss for ``time``, in place.

    BatchNorm uses the statistics of ``x`` all along; the running ones see ``x`` once, with the parameters at the end.
    A replica that meets a gradient that is not finite is left with NaN parameters.

    Args:
        model: The architecture.
        state: Parameters and buffers, float64 ``[R, ...]``.
        x: All examples, ``[R or 1, N, ...]``.
        labels: Their labels, ``[R or 1, N]``.
        loss: (outputs ``[R, N, classes]``, labels) -> losses ``[R, N]``.
        time: The learning rate of the step.
        rtol: See ``advance``.
        weight_decay: k of the gradient ``g + k q``.

    Raises:
        SymbreakError: See ``advance``.
    """
    views = {name: value.detach() for name, value in state.items()}
    for r in range(next(iter(views.values())).shape[0]):
        replica = {name: value[r : r + 1] for name, value in views.items()}
        own_x, own_labels = (values[r : r + 1] if len(values) > 1 else values for values in (x, labels))
        objective = _Objective(model, replica, own_x, own_labels, loss, weight_decay)
        objective.put(advance(objective.gradient, objective.point(), time, rtol=rtol))
        if model.buffers:
            with torch.no_grad():
                model.forward(replica, own_x, train=True)


class _Objective:
    """One replica's mean loss, plus k |q|^2 / 2, as a function of its parameters laid end to end, ``[P]``."""

    def __init__(
        self,
        model: Model,
        replica: State,
        x: Tensor,
        labels: Tensor,
        loss: Callable[[Tensor, Tensor], Tensor],
        weight_decay: float,
    ) -> None:
        self.model, self.x, self.labels, self.loss, self.weight_decay = model, x, labels, loss, weight_decay
        self.parameters = {name: value for name, value in replica.items() if name not in model.buffers}
        self.buffers = {name: value for name, value in replica.items() if name in model.buffers}

    def point(self) -> Array:
        flat = torch.cat([value.flatten() for value in self.parameters.values()])
        return np.asarray(flat.cpu().numpy())

    def put(self, point: Array) -> None:
        for name, value in self._named(torch.from_numpy(point)).items():
            self.parameters[name].copy_(value)

    @torch.enable_grad()
    def gradient(self, point: Array) -> Array:
        leaf = torch.from_numpy(point).to(self.x.device).requires_grad_()
        # the forward pass changes buffers, and a trial step must leave no trace
        trial = self._named(leaf) | {name: value.clone() for name, value in self.buffers.items()}
        value = self.loss(self.model.forward(trial, self.x, train=True), self.labels).mean()
        (slope,) = torch.autograd.grad(value, leaf)
        return np.asarray(slope.cpu().numpy()) + self.weight_decay * point

    def _named(self, flat: Tensor) -> State:
        pieces = flat.split([value.numel() for value in self.parameters.values()])
        shapes = [(name, value.shape) for name, value in self.parameters.items()]
        return {name: piece.view(shape) for (name, shape), piece in zip(shapes, pieces, strict=True)}
