import numpy as np
import pytest
import torch

from symbreak.config.models import GaussnetSpec
from symbreak.errors import SymbreakError
from symbreak.models.gaussnet import Gaussnet, build

F64 = torch.float64


def outputs(model: Gaussnet, replicas: int, x: torch.Tensor) -> torch.Tensor:
    """Outputs ``[R, B, D]`` of freshly initialised networks."""
    states = [model.init(seed) for seed in range(replicas)]
    return model.forward({name: torch.stack([s[name] for s in states]) for name in states[0]}, x, train=False)


@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(1.0, 1.0), (1.2, 0.5)])
@pytest.mark.parametrize("width", [40, 160])
def test_the_kernel_of_an_ensemble_is_the_gaussian(width: int, sigma_w: float, sigma_b: float) -> None:
    """E f_i(x) f_j(y) = delta_ij (sigma_b^2 + sigma_w^2 exp(-sigma_w^2 |x-y|^2 / 2d)), at every width; here d = 6."""
    spec = GaussnetSpec(family="gaussnet", width=width, sigma_w=sigma_w, sigma_b=sigma_b)
    draw = np.random.default_rng(0)
    x = torch.from_numpy(draw.normal(0, 0.6, (1, 3, 1, 2, 3)))
    f = outputs(build(spec, (1, 2, 3), 4, torch.float64), 2500, x).numpy()
    points = x.flatten(2)[0].numpy()
    squares = ((points[:, None] - points[None]) ** 2).sum(2)
    kernel = sigma_b**2 + sigma_w**2 * np.exp(-(sigma_w**2) * squares / 12)
    products = np.einsum("rai,rbi->rab", f, f) / 4
    error = products.std(0) / np.sqrt(len(products))
    assert np.all(np.abs(products.mean(0) - kernel) < 5 * error)
    assert np.all(error < 0.06 * kernel)
    mixed = f[:, :, 0] * f[:, :, 1]
    assert np.all(np.abs(mixed.mean(0)) < 5 * mixed.std(0) / np.sqrt(len(mixed)))


def test_the_normaliser_is_that_of_the_whole_input_dimension() -> None:
    model = build(GaussnetSpec(family="gaussnet", width=1, sigma_w=2.0, sigma_b=0.5), (1, 2, 2), 1, torch.float64)
    state = {
        "layers.0.weight": torch.tensor([[[0.1, -0.2, 0.3, 0.4]]], dtype=torch.float64),
        "layers.0.bias": torch.tensor([[0.05]], dtype=torch.float64),
        "layers.1.weight": torch.tensor([[[3.0]]], dtype=torch.float64),
        "layers.1.bias": torch.tensor([[-1.0]], dtype=torch.float64),
    }
    x = torch.tensor([1.0, 2.0, -1.0, 0.5], dtype=torch.float64)
    z = 0.1 - 0.4 - 0.3 + 0.2 + 0.05
    by_hand = -1 + 3 * np.exp(z) / np.sqrt(np.exp(2 * (0.25 + 4 * 6.25 / 4)))
    assert model.forward(state, x.view(1, 1, 1, 2, 2), train=False).item() == pytest.approx(by_hand, rel=1e-14)


@pytest.mark.parametrize(("shifted", "moved"), [(None, 3), (2, 2), (0, 0)])
def test_the_mean_shifts_the_first_outputs_weights(shifted: int | None, moved: int) -> None:
    def weights(mean: float) -> torch.Tensor:
        spec = GaussnetSpec(family="gaussnet", width=5, mean_w1=mean, shifted=shifted)
        return build(spec, (1, 2, 2), 3, torch.float64).init(1)["layers.1.weight"]

    difference = weights(0.7) - weights(0.0)
    torch.testing.assert_close(difference[:moved], torch.full((moved, 5), 0.7, dtype=torch.float64))
    assert not difference[moved:].any()


def test_more_shifted_outputs_than_there_are_is_an_error() -> None:
    with pytest.raises(SymbreakError, match="only 3 outputs"):
        build(GaussnetSpec(family="gaussnet", width=5, shifted=4), (1, 2, 2), 3, torch.float64)


def test_a_given_distribution_of_the_shifted_weights_is_refused() -> None:
    spec = GaussnetSpec(family="gaussnet", width=5, mean_w1=0.1, initial={"layers.1.weight": {"mean": 0.2}})
    with pytest.raises(SymbreakError, match=r"'mean_w1' is 0\.1, but 'initial' gives 'layers\.1\.weight' a mean too"):
        build(spec, (1, 2, 2), 3, torch.float64)


def test_a_given_mean_moves_the_weights_of_all_outputs() -> None:
    plain, moved = (
        build(GaussnetSpec(family="gaussnet", width=5, initial=initial), (1, 2, 2), 3, torch.float64).init(1)
        for initial in ({}, {"layers.1.weight": {"mean": 0.7}})
    )
    torch.testing.assert_close(moved.pop("layers.1.weight"), plain.pop("layers.1.weight") + 0.7)
    assert all(torch.equal(moved[name], plain[name]) for name in plain)


def test_without_sigma_b_the_biases_are_zero() -> None:
    model = build(GaussnetSpec(family="gaussnet", width=5, sigma_b=0.0), (1, 2, 2), 3, torch.float64)
    state = model.init(1)
    assert not state["layers.0.bias"].any() and not state["layers.1.bias"].any()
    assert state["layers.0.weight"].all() and state["layers.1.weight"].all()


def test_the_last_layers_mean_points_where_the_replica_draws_it_with_the_same_length() -> None:
    plain, axes, turned = (
        build(GaussnetSpec(family="gaussnet", width=5, **given), (1, 2, 2), 3, torch.float64)
        for given in ({}, {"mean_w1": 0.3, "shifted": 2}, {"mean_w1": 0.3, "shifted": 2, "direction": "random"})
    )
    means = []
    for seed in (1, 2):
        states = [model.init(seed) for model in (plain, axes, turned)]
        rest, along, mean = (state["layers.1.weight"] for state in states)
        torch.testing.assert_close(along - rest, torch.tensor([0.3, 0.3, 0.0], dtype=F64)[:, None].expand(3, 5))
        mean = mean - rest
        torch.testing.assert_close(mean, mean[:, :1].expand(3, 5))
        torch.testing.assert_close(mean[:, 0].norm(), torch.tensor(0.3 * np.sqrt(2), dtype=F64))
        assert all(torch.equal(states[0][n], states[2][n]) for n in states[0] if n != "layers.1.weight")
        means.append(mean[:, 0])
    assert not torch.allclose(means[0], means[1])
    torch.testing.assert_close(turned.init(1)["layers.1.weight"], turned.init(1)["layers.1.weight"])


def test_directions_are_uniform() -> None:
    spec = GaussnetSpec(family="gaussnet", width=1, sigma_w=1e-9, mean_w1=1.0, shifted=1, direction="random")
    model = build(spec, (1, 1, 1), 3, torch.float64)
    drawn = torch.stack([model.init(seed)["layers.1.weight"][:, 0] for seed in range(600)])
    assert drawn.mean(0).abs().max() < 5 / np.sqrt(3 * 600)  # of a uniform direction each component has variance 1/3
    torch.testing.assert_close(drawn.T @ drawn / 600, torch.eye(3, dtype=F64) / 3, atol=0.06, rtol=0)


@pytest.mark.parametrize("neuron", ["erf", "relu"])
def test_without_biases_there_are_none_and_the_rest_stays(neuron: str) -> None:
    given = {"family": "gaussnet", "width": 5, "neuron": neuron, "sigma_b": 0.0}
    bare, whole = (build(GaussnetSpec(**given, bias=bias), (1, 2, 2), 3, torch.float64) for bias in (False, True))
    state = bare.init(1)
    assert set(state) == {"layers.0.weight", "layers.1.weight"}
    assert all(torch.equal(state[name], whole.init(1)[name]) for name in state)
    states = [{name: v[None] for name, v in model.init(1).items()} for model in (bare, whole)]
    x = torch.linspace(-1, 1, 8, dtype=F64).view(1, 2, 1, 2, 2)
    found, expected = (m.forward(s, x, train=True) for m, s in zip((bare, whole), states, strict=True))
    torch.testing.assert_close(found, expected)


def test_a_spread_of_biases_that_are_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="without 'bias', 'sigma_b' must be 0"):
        GaussnetSpec(family="gaussnet", width=5, bias=False)


NEURON = {
    "gauss": lambda z, x: torch.exp(z) / torch.exp(0.25 + 2.25 / 12 * (x**2).sum(1, keepdim=True)),
    "erf": lambda z, x: torch.erf(z),
    "relu": lambda z, x: torch.nn.functional.relu(z),
}


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("neuron", NEURON)
def test_every_replica_is_the_plain_network_and_so_are_its_gradients(neuron: str, shared: bool) -> None:
    model = build(GaussnetSpec(family="gaussnet", width=7, neuron=neuron, sigma_w=1.5, sigma_b=0.5), (2, 2, 3), 3, F64)
    replicas = [model.init(seed) for seed in range(3)]
    state = {name: torch.stack([s[name] for s in replicas]).requires_grad_() for name in replicas[0]}
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(1 if shared else 3, 9, 2, 2, 3, generator=draw, dtype=F64)
    push = torch.randn(3, 9, 3, generator=draw, dtype=F64)
    outputs = model.forward(state, x, train=True)
    (outputs * push).sum().backward()
    for r in range(3):
        first, last = torch.nn.Linear(12, 7, dtype=F64), torch.nn.Linear(7, 3, dtype=F64)
        theirs = {f"layers.{i}.{k}": v for i, net in enumerate((first, last)) for k, v in net.named_parameters()}
        for name, value in theirs.items():
            value.data.copy_(state[name][r])
        pixels = x[0 if shared else r].flatten(1)
        expected = last(NEURON[neuron](first(pixels), pixels))
        torch.testing.assert_close(outputs[r], expected, rtol=1e-10, atol=1e-10)
        (expected * push[r]).sum().backward()
        for name, value in theirs.items():
            torch.testing.assert_close(state[name].grad[r], value.grad, rtol=1e-10, atol=1e-10)
        alone = {name: value[r : r + 1] for name, value in state.items()}
        found = model.forward(alone, x if shared else x[r : r + 1], train=True)
        torch.testing.assert_close(found[0], outputs[r], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("neuron", NEURON)
def test_the_second_moment_of_an_output_is_its_kernel(neuron: str) -> None:
    """E f(x)^2 = sigma_b^2 + sigma_w^2 E s^2, with z normal of variance K = sigma_b^2 + sigma_w^2 |x|^2 / d.

    E s^2 is 1 for Gauss-net, 2/pi asin(2K/(1+2K)) for Erf-net (Williams 1997) and K/2 for ReLU-net (Cho and Saul 2009).
    """
    spec = GaussnetSpec(family="gaussnet", width=50, neuron=neuron, sigma_w=1.2, sigma_b=0.4)
    x = torch.linspace(-1, 1, 6, dtype=F64).view(1, 1, 1, 2, 3)
    k = 0.16 + 1.44 * float(x.square().sum()) / 6
    neurons = {"gauss": 1.0, "erf": 2 / np.pi * np.arcsin(2 * k / (1 + 2 * k)), "relu": k / 2}
    squares = outputs(build(spec, (1, 2, 3), 4, F64), 2500, x).square().mean(2).flatten().numpy()
    assert abs(squares.mean() - 0.16 - 1.44 * neurons[neuron]) < 5 * squares.std() / np.sqrt(2500)
