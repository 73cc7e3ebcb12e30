from typing import Any

import pytest
import torch

from symbreak.config.models import RnnSpec
from symbreak.models.model import State
from symbreak.models.rnn import Rnn, build

F64, SHAPE, CLASSES, WIDTH = torch.float64, (2, 5, 4), 3, 6
ACTIVATION = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "erf": torch.erf,
    "sigmoid": torch.sigmoid,
    "linear": torch.nn.Identity(),
}


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def network(**settings: Any) -> Rnn:
    return build(RnnSpec(family="rnn", width=WIDTH, **settings), SHAPE, CLASSES, F64)


def scattered(model: Rnn, replicas: int = 3) -> State:
    """Replicas none of whose entries has a special value, as leaves."""
    states = [model.init(seed) for seed in range(replicas)]
    stacked = {name: torch.stack([state[name] for state in states]) for name in states[0]}
    return {
        name: (value + 0.2 * random(*value.shape, seed=i)).requires_grad_()
        for i, (name, value) in enumerate(sorted(stacked.items()))
    }


def gradients(loss: torch.Tensor, state: State) -> State:
    return dict(zip(state, torch.autograd.grad(loss, list(state.values()), retain_graph=True), strict=True))


def test_names_of_parameters() -> None:
    shapes = {name: tuple(value.shape) for name, value in network().init(0).items()}
    plain = {"input.weight": (6, 8), "recurrent.weight": (6, 6), "bias": (6,), "head.weight": (3, 6), "head.bias": (3,)}
    assert shapes == plain
    shapes = {name: tuple(value.shape) for name, value in network(integration="multiplicative").init(0).items()}
    assert shapes == plain | {"alpha": (6,), "beta1": (6,), "beta2": (6,)}
    assert network().buffers == frozenset()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_additive_integration_is_torchs_rnn_and_so_are_its_gradients(activation: str, shared: bool) -> None:
    model = network(activation=activation)
    state, x, push = scattered(model), random(1 if shared else 3, 9, *SHAPE), random(3, 9, CLASSES, seed=99)
    outputs = model.forward(state, x, train=True)
    found = gradients((outputs * push).sum(), state)
    names = {"weight_ih_l0": "input.weight", "weight_hh_l0": "recurrent.weight", "bias_ih_l0": "bias"}
    for r in range(3):
        rnn = torch.nn.RNN(8, WIDTH, nonlinearity=activation, dtype=F64)
        head = torch.nn.Linear(WIDTH, CLASSES, dtype=F64)
        rnn.load_state_dict({k: state[v][r] for k, v in names.items()} | {"bias_hh_l0": torch.zeros(WIDTH)})
        head.load_state_dict({k: state[f"head.{k}"][r] for k in ("weight", "bias")})
        rows = x[0 if shared else r].permute(2, 0, 1, 3).flatten(2)  # [H, B, C*W]
        expected = head(rnn(rows)[1][0])
        torch.testing.assert_close(outputs[r], expected, rtol=1e-10, atol=1e-10)
        (expected * push[r]).sum().backward()
        theirs = {mine: getattr(rnn, name) for name, mine in names.items()}
        theirs |= {"head.weight": head.weight, "head.bias": head.bias}
        assert theirs.keys() == state.keys()
        for name, value in theirs.items():
            torch.testing.assert_close(found[name][r], value.grad, rtol=1e-10, atol=1e-10)


def read(state: State, r: int, image: torch.Tensor, activation: str) -> torch.Tensor:
    """Outputs ``[classes]`` of one replica for one image ``[C, H, W]``, as Wu et al. write it."""
    s = {name: value[r] for name, value in state.items()}
    h = torch.zeros(WIDTH, dtype=F64)
    for row in range(image.shape[1]):
        wx, uh = s["input.weight"] @ image[:, row].flatten(), s["recurrent.weight"] @ h
        h = ACTIVATION[activation](s["alpha"] * wx * uh + s["beta1"] * uh + s["beta2"] * wx + s["bias"])
    return s["head.weight"] @ h + s["head.bias"]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("activation", ACTIVATION)
def test_multiplicative_integration_is_its_formula_and_so_are_its_gradients(activation: str, shared: bool) -> None:
    model = network(integration="multiplicative", activation=activation)
    state, x, push = scattered(model), random(1 if shared else 3, 4, *SHAPE), random(3, 4, CLASSES, seed=99)
    outputs = model.forward(state, x, train=True)
    expected = torch.stack(
        [torch.stack([read(state, r, image, activation) for image in x[0 if shared else r]]) for r in range(3)]
    )
    torch.testing.assert_close(outputs, expected, rtol=1e-10, atol=1e-10)
    found, wanted = (gradients((result * push).sum(), state) for result in (outputs, expected))
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_the_multiplicative_term_alone_never_leaves_its_zero_state() -> None:
    """With beta1 = beta2 = b = 0 and h_0 = 0, act(alpha * Wx * Uh) stays zero: only the head's bias is left."""
    state = scattered(network(integration="multiplicative"))
    state |= {name: torch.zeros(3, WIDTH, dtype=F64) for name in ("beta1", "beta2", "bias")}
    outputs = network(integration="multiplicative").forward(state, random(1, 4, *SHAPE), train=False)
    assert torch.equal(outputs, state["head.bias"].unsqueeze(1).expand(3, 4, CLASSES))


def test_without_the_second_order_term_integration_is_additive() -> None:
    additive, multiplicative = network(), network(integration="multiplicative", alpha=0.0)
    x = random(1, 4, *SHAPE)
    states = [
        {name: value.unsqueeze(0) for name, value in model.init(5).items()} for model in (additive, multiplicative)
    ]
    torch.testing.assert_close(
        multiplicative.forward(states[1], x, train=False),
        additive.forward(states[0], x, train=False),
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("integration", ["additive", "multiplicative"])
def test_a_replica_does_not_depend_on_its_companions(integration: str, shared: bool) -> None:
    model = network(integration=integration)
    state, x = scattered(model), random(1 if shared else 3, 5, *SHAPE)
    together = model.forward(state, x, train=True)
    for r in range(3):
        alone = {name: value[r : r + 1] for name, value in state.items()}
        found = model.forward(alone, x if shared else x[r : r + 1], train=True)
        torch.testing.assert_close(found[0], together[r], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("integration", ["additive", "multiplicative"])
def test_bfloat16_products_keep_outputs_near_and_gradients_float32(integration: str) -> None:
    model = network(integration=integration)
    state = {name: value.detach().float().requires_grad_() for name, value in scattered(model).items()}
    x = random(1, 20, *SHAPE).float()
    exact = model.forward(state, x, train=True).detach()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model.forward(state, x, train=True)
    assert (outputs - exact).norm() < 0.02 * exact.norm()
    assert all(value.dtype == torch.float32 for value in gradients(outputs.float().sum(), state).values())
