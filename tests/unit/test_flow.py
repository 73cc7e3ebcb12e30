"""The gradient flow against closed forms, conserved quantities and small steps."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import expm
from torch import Tensor

from symbreak.config.models import MlpSpec
from symbreak.errors import SymbreakError
from symbreak.models import mlp
from symbreak.models.model import Model, Noise, State
from symbreak.training.flow import advance, flow_step
from symbreak.training.losses import cross_entropy

Array = NDArray[np.float64]
SHAPE, CLASSES, COUNT = (1, 3, 3), 4, 12


def quadratic() -> tuple[Array, Array, Array]:
    """A symmetric positive matrix, the minimum, and a start of which one entry is zero."""
    draw = np.random.default_rng(1)
    root = draw.standard_normal((6, 6))
    return root @ root.T, draw.standard_normal(6), np.array([1.0, -2.0, 0.0, 0.5, 3.0, 1e-3])


def quadratic_error(rtol: float) -> float:
    matrix, minimum, start = quadratic()
    found = advance(lambda q: matrix @ (q - minimum), start, 0.7, rtol=rtol)
    return float(np.abs(found - minimum - expm(-0.7 * matrix) @ (start - minimum)).max())


def test_a_quadratic_loss_relaxes_by_the_matrix_exponential() -> None:
    assert quadratic_error(1e-10) < 1e-8


def test_a_smaller_tolerance_gives_a_smaller_error() -> None:
    errors = [quadratic_error(1e-5 / 2**halved) for halved in range(10)]
    assert all(finer < coarser for coarser, finer in zip(errors[::2], errors[2::2], strict=False))
    assert errors[-1] < errors[0] / 100


def test_a_start_of_zeros_has_a_scale() -> None:
    found = advance(lambda q: q - 2.0, np.zeros(3), 1.0, rtol=1e-9)
    np.testing.assert_allclose(found, 2 * (1 - np.exp(-1.0)), rtol=1e-8)


def test_impossible_tolerances_are_refused() -> None:
    with pytest.raises(SymbreakError, match=r"'rtol' is 1e-15.*make it larger"):
        advance(lambda q: q, np.ones(2), 1.0, rtol=1e-15)


def test_a_flow_that_runs_away_with_finite_gradients_is_an_error() -> None:
    with pytest.raises(SymbreakError, match=r"got to time 1 of 2.*make 'lr' smaller"):
        advance(lambda q: -(q**2), np.ones(1), 2.0, rtol=1e-9)


def test_a_path_that_slides_along_a_jump_is_an_error_unless_the_tolerance_is_coarse() -> None:
    """The gradient of |x| + y drives x to zero from both sides."""

    def gradient(q: Array) -> Array:
        return np.array([np.sign(q[0]), 1.0])

    with pytest.raises(SymbreakError, match="smooth activation"):
        advance(gradient, np.array([0.3, 1.0]), 1.0, rtol=1e-9)
    np.testing.assert_allclose(advance(gradient, np.array([0.3, 1.0]), 1.0, rtol=1e-3), 0.0, atol=1e-2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_gives_nan(bad: float) -> None:
    barred: list[Callable[[Array], Array]] = [
        lambda q: np.array([q[0], bad]),
        lambda q: np.where(q < 0.5, bad, 1.0),  # met only on the way
    ]
    for gradient in barred:
        assert np.isnan(advance(gradient, np.ones(2), 1.0, rtol=1e-6)).all()


def test_trial_steps_into_the_infinite_are_made_smaller() -> None:
    found = advance(lambda q: np.where(q < 0, np.nan, 1e3 * q), np.ones(1), 0.01, rtol=1e-9)
    np.testing.assert_allclose(found, np.exp(-10.0), rtol=1e-3)


class Product:
    """Two linear layers of width one: outputs a b x."""

    buffers: frozenset[str] = frozenset()
    max_group = None

    def init(self, seed: int) -> State:
        raise AssertionError("a flow starts from the state that it is given")

    def forward(self, state: State, x: Tensor, *, train: bool, noise: Noise | None = None) -> Tensor:
        return (state["a"] * state["b"]).view(-1, 1, 1) * x


def squared(outputs: Tensor, labels: Tensor) -> Tensor:
    return (outputs[..., 0] - labels).square() / 2


def test_two_scalar_layers_conserve_the_difference_of_their_squares() -> None:
    """a' = -(ab - 1) b and b' = -(ab - 1) a, so a^2 - b^2 stays; decay k shrinks it by exp(-2 k t)."""
    for decay in (0.0, 0.2):
        state = {"a": torch.tensor([1.5, -0.2, 0.3]).double(), "b": torch.tensor([0.1, 0.4, 2.0]).double()}
        start = state["a"].square() - state["b"].square()
        before = {name: value.clone() for name, value in state.items()}
        x, labels = torch.ones(1, 1, 1).double(), torch.ones(1, 1).double()
        flow_step(Product(), state, x, labels, squared, time=2.0, rtol=1e-10, weight_decay=decay)
        assert all((state[name] - before[name]).abs().min() > 1e-2 for name in state)
        expected = start * np.exp(-2 * decay * 2.0)
        torch.testing.assert_close(state["a"].square() - state["b"].square(), expected, rtol=1e-8, atol=1e-9)


def network(norm: str = "none") -> mlp.Mlp:
    settings = {"family": "mlp", "hidden": (5,), "activation": "tanh", "norm": norm, "norm_eps": 0.0}
    spec = MlpSpec.model_validate(settings)
    return mlp.build(spec, SHAPE, CLASSES, torch.float64)


def ensemble(model: Model, seeds: tuple[int, ...] = (1, 2)) -> State:
    replicas = [model.init(seed) for seed in seeds]
    return {name: torch.stack([replica[name] for replica in replicas]) for name in replicas[0]}


def examples(copies: int = 1) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(2)
    x = torch.randn(copies, COUNT, *SHAPE, generator=draw, dtype=torch.float64)
    return x, torch.randint(CLASSES, (copies, COUNT), generator=draw)


def flow(model: Model, state: State, x: Tensor, labels: Tensor, time: float = 0.5, decay: float = 0.0) -> State:
    """The state after the flow; ``state`` stays."""
    moved = {name: value.clone() for name, value in state.items()}
    flow_step(model, moved, x, labels, cross_entropy, time=time, rtol=1e-9, weight_decay=decay)
    return moved


def length2(state: State) -> Tensor:
    """|w|^2 of the parameters into each normalised unit, ``[R, units]``."""
    return state["layers.0.weight"].square().sum(2) + state["layers.0.bias"].square()


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_batch_norm_conserves_the_length_of_the_weights_before_it(decay: float) -> None:
    model, (x, labels) = network("batch"), examples()
    state = ensemble(model)
    moved = flow(model, state, x, labels, 2.0, decay)
    assert (moved["layers.0.weight"] - state["layers.0.weight"]).abs().max() > 0.1
    torch.testing.assert_close(length2(moved), length2(state) * np.exp(-2 * decay * 2.0), rtol=1e-7, atol=0)


def descended(model: Model, state: State, x: Tensor, labels: Tensor, time: float, steps: int) -> State:
    """Gradient descent in ``steps`` steps of ``time / steps``, with the loss and its gradient by autograd."""
    point = {name: value.clone() for name, value in state.items()}
    leaves = [point[name].requires_grad_() for name in point if name not in model.buffers]
    optimiser = torch.optim.SGD(leaves, lr=time / steps)
    for _ in range(steps):
        optimiser.zero_grad()
        cross_entropy(model.forward(point, x, train=True), labels).mean(1).sum().backward()
        optimiser.step()
    return {name: value.detach() for name, value in point.items()}


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_gradient_descent_tends_to_the_flow_in_first_order(norm: str) -> None:
    model, (x, labels) = network(norm), examples(2)
    state = ensemble(model)
    reference = flow(model, state, x, labels, 0.1)

    def distance(steps: int) -> float:
        reached = descended(model, state, x, labels, 0.1, steps)
        parameters = [name for name in state if name not in model.buffers]
        return max(float((reached[name] - reference[name]).abs().max()) for name in parameters)

    assert distance(40) < 1e-3
    assert distance(40) / distance(80) == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("copies", [1, 2])
def test_a_replica_flows_as_it_does_alone(copies: int) -> None:
    model, (x, labels) = network("batch"), examples(copies)
    together = flow(model, ensemble(model, (1, 2)), x, labels)
    own = (x, labels) if copies == 1 else (x[1:], labels[1:])
    alone = flow(model, ensemble(model, (2,)), *own)
    assert all(torch.equal(together[name][1:], alone[name]) for name in alone)
    assert not any(torch.equal(together[name][0], together[name][1]) for name in alone)


def test_running_statistics_see_the_examples_once_with_the_last_parameters() -> None:
    model, (x, labels) = network("batch"), examples()
    state = ensemble(model)
    moved = flow(model, state, x, labels)
    expected = moved | {name: state[name].clone() for name in model.buffers}
    model.forward(expected, x, train=True)
    assert model.buffers
    for name in model.buffers:
        torch.testing.assert_close(moved[name], expected[name], rtol=1e-14, atol=1e-15)
        assert not torch.equal(moved[name], state[name])


def test_a_replica_without_a_finite_gradient_is_left_nan_and_alone() -> None:
    model, (x, labels) = network(), examples()
    state = ensemble(model, (1, 2, 3))
    state["layers.1.weight"][1] = 1e308
    moved, without = flow(model, state, x, labels), flow(model, ensemble(model, (1, 3)), x, labels)
    for name, value in moved.items():
        assert value[1].isnan().all()
        assert torch.equal(value[[0, 2]], without[name])


def test_a_state_that_is_trained_is_moved_in_place() -> None:
    model, (x, labels) = network(), examples()
    state = {name: value.requires_grad_() for name, value in ensemble(model).items()}
    tensors = dict(state)
    expected = flow(model, ensemble(model), x, labels)
    flow_step(model, state, x, labels, cross_entropy, time=0.5, rtol=1e-9, weight_decay=0.0)
    assert all(state[name] is tensors[name] and torch.equal(state[name].detach(), expected[name]) for name in state)
