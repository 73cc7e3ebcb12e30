"""How a symmetry's charge moves under stochastic gradient descent: exact in discrete time, approximate in continuous.

The optimiser is PyTorch's heavy ball with coupled decay, started from rest: ``v <- beta v + (g + k q)``,
``q <- q - eta v`` with ``g`` any mini-batch gradient. A set ``A`` of parameters carries one of three charges:

* translation: ``S = sum_A q``, where the loss ignores a common shift of ``A``;
* scale: ``R = |q_A|^2``, where the loss ignores the length of ``q_A``;
* rescale: ``R = |q_out|^2 - |q_in|^2``, where it ignores ``q_out -> a q_out``, ``q_in -> q_in / a``.

``D_n`` is the same combination of the squared increments ``|q_{n+1} - q_n|^2`` (nothing for translation).
The only assumption is that ``g`` is orthogonal to the symmetry's direction, which holds for every batch.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.signal import cont2discrete, lfilter

Array = NDArray[np.float64]
Symmetry = Literal["translation", "scale", "rescale"]
DEGREE: dict[Symmetry, int] = {"translation": 1, "scale": 2, "rescale": 2}


@dataclass(frozen=True)
class HeavyBall:
    """Constant hyper-parameters of the optimiser: ``lr`` (eta), ``momentum`` (beta), ``decay`` (k)."""

    lr: float
    momentum: float = 0.0
    decay: float = 0.0


@dataclass(frozen=True)
class Oscillator:
    """``x'' + 2 friction x' + frequency^2 x = drive`` in time ``t = lr * step`` (units of 1/time)."""

    friction: float
    frequency: float

    @property
    def oscillates(self) -> bool:
        """Whether the charge overshoots instead of creeping (``friction < frequency``)."""
        return self.friction < self.frequency


def discrete(symmetry: Symmetry, start: Array, increments: Array, ball: HeavyBall) -> Array:
    """Charge after every update, exact up to rounding.

    ``x_{n+1} - (1 + beta - c eta k) x_n + beta x_{n-1} = D_n + beta D_{n-1}`` with ``x_{-1} = x_0``,
    ``D_{-1} = 0``, and ``c`` the charge's degree in ``q`` (1 for translation, 2 for scale and rescale).
    From ``q_{n+1} - q_n = beta (q_n - q_{n-1}) - eta (g_n + k q_n)``, ``<g_n, dQ> = 0`` and
    ``2 <q_n, q_n - q_{n-1}> = R_n - R_{n-1} + D_{n-1}``; at ``beta = 0`` it is ``R <- (1 - 2 eta k) R + D``.

    Args:
        symmetry: Which charge.
        start: ``[...]`` the charge before the first update.
        increments: ``[T, ...]`` ``D_n`` of update ``n`` (zeros for translation).
        ball: The optimiser.

    Returns:
        ``[T + 1, ...]`` the charge, ``start`` first.
    """
    shrink = DEGREE[symmetry] * ball.lr * ball.decay
    memory = np.stack([start * (1 - shrink), -ball.momentum * start])
    coefficients = [1.0, -(1 + ball.momentum - shrink), ball.momentum]
    moved, _ = lfilter([1.0, ball.momentum], coefficients, increments, axis=0, zi=memory)
    return np.concatenate([start[None], moved])


def continuous(symmetry: Symmetry, start: Array, increments: Array, ball: HeavyBall) -> Array:
    """Charge in the papers' continuous time, at ``t = lr * step``.

    Without momentum the first-order solution (Kunin et al., arXiv:2012.04728, eqs. 18-20), with momentum the driven
    damped oscillator at rest at ``t = 0`` (same paper's appendix; Tanaka and Kunin, arXiv:2105.02716, eq. 16).
    ``|dq/dt|^2`` is taken as ``D_n / lr^2`` throughout update ``n``.

    Args:
        symmetry: Which charge.
        start: ``[...]`` the charge before the first update.
        increments: ``[T, ...]`` ``D_n`` of update ``n`` (zeros for translation).
        ball: The optimiser.

    Returns:
        ``[T + 1, ...]`` the charge, ``start`` first.
    """
    if ball.momentum == 0:
        return _relaxation(DEGREE[symmetry] * ball.decay * ball.lr, start, increments)
    return _driven(oscillator(symmetry, ball), ball.lr, start, increments)


def oscillator(symmetry: Symmetry, ball: HeavyBall) -> Oscillator:
    """The charge's free motion under ``(eta/2)(1+beta) q'' + (1-beta) q' + g + k q = 0`` (arXiv:2105.02716, eq. 3).

    Friction ``(1-beta) / (eta (1+beta))``, squared frequency ``2 c k / (eta (1+beta))`` with the degree ``c``.
    """
    inertia = ball.lr * (1 + ball.momentum)
    return Oscillator((1 - ball.momentum) / inertia, float(np.sqrt(2 * DEGREE[symmetry] * ball.decay / inertia)))


def _relaxation(rate: float, start: Array, increments: Array) -> Array:
    """``x(t) = e^{-ct} x(0) + eta int e^{-c(t-s)} |dq/ds|^2 ds`` with ``rate = c * eta`` the decay an update.

    Each update contributes ``D (1 - e^{-rate}) / rate``; stepping with the factor ``e^{-rate}`` avoids sums
    of ``e^{+ct}``, which overflow.
    """
    weight = -np.expm1(-rate) / rate if rate else 1.0
    moved, _ = lfilter([weight], [1.0, -np.exp(-rate)], increments, axis=0, zi=(np.exp(-rate) * start)[None])
    return np.concatenate([start[None], moved])


def _driven(motion: Oscillator, lr: float, start: Array, increments: Array) -> Array:
    """The oscillator driven by ``2 |dq/dt|^2``, propagated exactly from step to step by a matrix exponential.

    Valid at any damping, and free of the growing exponentials of the textbook convolution.
    """
    friction, spring = 2 * motion.friction * lr, (motion.frequency * lr) ** 2
    system = (np.array([[0.0, 1.0], [-spring, -friction]]), np.array([[0.0], [2.0]]), np.eye(2), np.zeros((2, 1)))
    free, drive, *_ = cont2discrete(system, dt=1.0, method="zoh")
    state = np.stack([start, np.zeros_like(start)])
    path = np.empty((len(increments) + 1, *start.shape))
    path[0] = start
    for step, increment in enumerate(increments):
        state = np.tensordot(free, state, axes=1) + np.multiply.outer(drive[:, 0], increment)
        path[step + 1] = state[0]
    return path
