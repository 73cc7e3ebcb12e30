"""Oracles: brute-force training of toy losses for the discrete laws, an ODE solver for the continuous ones."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from symbreak.theory.noether import DEGREE, Array, HeavyBall, Symmetry, continuous, discrete, oscillator

BALLS = [HeavyBall(0.1), HeavyBall(0.1, 0.0, 1e-2), HeavyBall(0.05, 0.9, 1e-2), HeavyBall(0.01, 0.99, 1e-2)]


def scale_gradient(q: Array, target: Array) -> Array:
    """Gradient of ``-<q, target> / |q|``, which ignores the length of ``q``."""
    unit = q / np.linalg.norm(q)
    return -(target - unit * (unit @ target)) / np.linalg.norm(q)


def rescale_gradient(q: Array, target: Array) -> Array:
    """Gradient of ``(q_in . q_out - target_0)^2 / 2`` with ``q = (q_in, q_out)``, unchanged by ``q_in/a, q_out a``."""
    q_in, q_out = np.split(q, 2)
    residual = q_in @ q_out - target[0]
    return residual * np.concatenate([q_out, q_in])


def shift_gradient(q: Array, target: Array) -> Array:
    """Gradient of the cross-entropy of ``softmax(q)``, unchanged by a common shift."""
    return np.exp(q) / np.exp(q).sum() - np.abs(target) / np.abs(target).sum()


def difference(q: Array) -> float:
    """Squared length of the second half minus that of the first."""
    q_in, q_out = np.split(q, 2)
    return float(q_out @ q_out - q_in @ q_in)


TOYS: dict[Symmetry, tuple[Callable[[Array, Array], Array], Callable[[Array], float], Callable[[Array], float]]] = {
    "translation": (shift_gradient, lambda q: float(q.sum()), lambda d: 0.0),
    "scale": (scale_gradient, lambda q: float(q @ q), lambda d: float(d @ d)),
    "rescale": (rescale_gradient, difference, difference),
}


def train(symmetry: Symmetry, ball: HeavyBall, steps: int = 800) -> tuple[Array, Array]:
    """Charge ``[T + 1]`` and increments ``[T]`` of a toy with a new target at every step (mini-batch noise)."""
    gradient, charge, squared = TOYS[symmetry]
    generator = np.random.default_rng(7)
    q, velocity = generator.normal(size=6), np.zeros(6)
    charges, increments = [charge(q)], []
    for _ in range(steps):
        velocity = ball.momentum * velocity + gradient(q, generator.normal(size=6)) + ball.decay * q
        q = q - ball.lr * velocity
        charges.append(charge(q))
        increments.append(squared(ball.lr * velocity))
    return np.array(charges), np.array(increments)


def error(law: Callable[..., Array], symmetry: Symmetry, charges: Array, increments: Array, ball: HeavyBall) -> float:
    """Worst distance of a law from the measured charge, relative to the charge's largest value."""
    return float(np.abs(law(symmetry, charges[0], increments, ball) - charges).max() / np.abs(charges).max())


@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.parametrize("symmetry", list(TOYS))
def test_discrete_law_is_what_training_does(symmetry: Symmetry, ball: HeavyBall) -> None:
    assert error(discrete, symmetry, *train(symmetry, ball), ball) < 1e-11


@pytest.mark.parametrize("symmetry", list(TOYS))
@pytest.mark.parametrize("wrong", [{"lr": 0.051}, {"momentum": 0.89}, {"decay": 0.011}])
def test_discrete_law_sees_a_wrong_hyper_parameter(symmetry: Symmetry, wrong: dict[str, float]) -> None:
    ball = BALLS[2]
    path = train(symmetry, ball)
    assert error(discrete, symmetry, *path, replace(ball, **wrong)) > 1e-4


def test_discrete_law_fails_without_the_symmetry() -> None:
    charges, increments = train("rescale", BALLS[1])
    assert error(discrete, "scale", charges, increments, BALLS[1]) < 1e-11, "both quadratic charges share one law"
    generator = np.random.default_rng(3)
    q, charges, increments = generator.normal(size=6), [], []
    for _ in range(200):
        charges.append(q @ q)
        step = -0.1 * (q - generator.normal(size=6))
        increments.append(step @ step)
        q = q + step
    assert error(discrete, "scale", np.array([*charges, q @ q]), np.array(increments), HeavyBall(0.1)) > 0.1


def ode(symmetry: Symmetry, ball: HeavyBall, start: float, drive: Callable[[float], float], steps: int) -> Array:
    """The papers' equation for the charge, solved by an adaptive integrator at ``t = lr * step``."""
    c = DEGREE[symmetry] * ball.decay
    mass = ball.lr * (1 + ball.momentum) / 2 if ball.momentum else None

    def flow(t: float, x: Array) -> Array:
        if mass is None:
            return np.array([ball.lr * drive(t) - c * x[0], 0.0])
        return np.array([x[1], (2 * mass * drive(t) - (1 - ball.momentum) * x[1] - c * x[0]) / mass])

    times = ball.lr * np.arange(steps + 1)
    solved = solve_ivp(flow, (0, times[-1]), [start, 0.0], "DOP853", times, rtol=1e-10, atol=1e-12)
    return np.asarray(solved.y[0])


@pytest.mark.parametrize("ball", [*BALLS, HeavyBall(0.1, 0.9, 0.1**2 / (4 * 0.1 * 1.9))])
@pytest.mark.parametrize("symmetry", list(TOYS))
def test_continuous_law_solves_the_differential_equation(symmetry: Symmetry, ball: HeavyBall) -> None:
    steps, quiet = 400, symmetry == "translation"

    def drive(t: float) -> float:
        return 0.0 if quiet else 1 + np.cos(t / 5)

    middles = ball.lr * (np.arange(steps) + 0.5)
    increments = ball.lr**2 * np.array([drive(t) for t in middles])
    expected = ode(symmetry, ball, 1.5, drive, steps)
    got = continuous(symmetry, np.array(1.5), increments, ball)
    assert np.abs(got - expected).max() < (1e-8 if quiet else 1e-3) * np.abs(expected).max()
    wrong = continuous(symmetry, np.array(1.5), increments, replace(ball, lr=1.1 * ball.lr, decay=ball.decay + 1e-3))
    assert np.abs(wrong - expected).max() > 2e-3 * np.abs(expected).max()


def textbook(friction: float, frequency: float, times: Array) -> Array:
    """Free motion from rest at 1: the three branches of a damped oscillator."""
    if friction < frequency:
        fast = np.sqrt(frequency**2 - friction**2)
        return np.exp(-friction * times) * (np.cos(fast * times) + friction / fast * np.sin(fast * times))
    slow, quick = (-friction + s * np.sqrt(friction**2 - frequency**2) for s in (1, -1))
    return (slow * np.exp(quick * times) - quick * np.exp(slow * times)) / (slow - quick)


@pytest.mark.parametrize(("decay", "oscillates"), [(1e-2, False), (2e-2, True)])
def test_free_motion_is_the_textbook_oscillator(decay: float, oscillates: bool) -> None:
    ball = HeavyBall(0.1, 0.9, decay)  # scale oscillates above k = (1 - beta)^2 / (4 eta (1 + beta)) = 0.0132
    motion = oscillator("scale", ball)
    assert motion.oscillates is oscillates
    path = continuous("scale", np.array(1.0), np.zeros(2000), ball)
    expected = textbook(motion.friction, motion.frequency, ball.lr * np.arange(2001))
    assert np.abs(path - expected).max() < 1e-11
    assert bool((path < 0).any()) is oscillates


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_continuous_law_becomes_exact_as_the_step_shrinks(momentum: float) -> None:
    gaps = []
    for lr in (0.02, 0.01, 0.005):
        ball = HeavyBall(lr, momentum, 0.1)
        increments = np.full(int(20 / lr), lr**2)
        laws = [law("scale", np.array(1.0), increments, ball) for law in (discrete, continuous)]
        gaps.append(np.abs(laws[0] - laws[1]).max())
    ratios = np.array(gaps[:-1]) / gaps[1:]
    assert np.all((ratios > 1.7) & (ratios < 2.4)), "the gap must be of first order in the learning rate"


def test_equilibrium_rotation_of_both_laws() -> None:
    ball = HeavyBall(0.1, 0.9, 1e-2)
    increments = np.full(20_000, 1e-4)
    for law in (discrete, continuous):
        settled = law("scale", np.array(1.0), increments, ball)[-1]
        assert settled == pytest.approx(1e-4 * (1 + 0.9) / (2 * 0.1 * 1e-2), rel=1e-9)  # catalogue 1.4


def test_laws_keep_the_axes() -> None:
    start = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    increments = np.random.default_rng(1).random((50, 2, 3))
    for ball in BALLS:
        for law in (discrete, continuous):
            path = law("scale", start, increments, ball)
            alone = law("scale", start[1, 2], increments[:, 1, 2], ball)
            assert path.shape == (51, 2, 3)
            np.testing.assert_allclose(path[:, 1, 2], alone, rtol=1e-12)
